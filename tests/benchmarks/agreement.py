"""Each reference set against R: one row of largest differences for set and method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from analyses.lmm.design import Array
from analyses.lmm.fit import Fit, fit_arrays
from analyses.lmm.kenward_roger import kenward_roger
from analyses.lmm.satterthwaite import satterthwaite
from tests.oracles.designs import NAMES, SHARED, Oracle, insteval, lcstudy, oracle, star

__all__ = ["Differences", "agreement", "limits"]

ELSEWHERE = {"crossed_slopes", "factor_slope", "singular", "three_level", "weighted"}


@dataclass(frozen=True)
class Differences:
    """Largest differences of one fit from R's, None where R's output has no such.

    Attributes:
        criterion: Ours minus R's; below 0 is a better optimum than R's.
        beta: Fixed effects at R's theta, relative.
        errors: Standard errors at R's theta, relative.
        own_beta: Fixed effects at our optimum, relative to R's, or to its standard
            error where that is larger.
        own_errors: Standard errors at our optimum, relative.
        variances: Relative; relative to the residual variance where R's is 0.
        df: Satterthwaite df at our optimum, relative.
        kr_vcov: Kenward-Roger covariance at R's theta, relative to the product of
            the two standard errors.
        kr_df: Kenward-Roger df at R's theta, relative.
    """

    criterion: float | None = None
    beta: float | None = None
    errors: float | None = None
    own_beta: float | None = None
    own_errors: float | None = None
    variances: float | None = None
    df: float | None = None
    kr_vcov: float | None = None
    kr_df: float | None = None

    def counts(self, name: str, method: str) -> tuple[int, int]:
        """How many of the numbers are within their limits, of how many."""
        at_most = limits(name, method)
        pairs = [(getattr(self, f.name), at_most[f.name]) for f in fields(self)]
        found = [value <= limit for value, limit in pairs if value is not None]
        return sum(found), len(found)


def limits(name: str, method: str) -> dict[str, float]:
    """The tolerance of each difference."""
    df = 1e-3
    if name in ELSEWHERE:
        df = 5e-3 if method == "REML" else 2e-2
    return {
        "criterion": 1e-6, "beta": 1e-6, "errors": 1e-6, "own_beta": 1e-4,
        "own_errors": 1e-4, "variances": 1e-3, "df": df, "kr_vcov": 1e-4, "kr_df": 1e-4,
    }  # fmt: skip


def agreement() -> Iterator[tuple[str, str, int, Differences]]:
    """Set, method, rows and differences; the large sets only where they are."""
    for name in NAMES:
        known = oracle(name)
        for method in ("REML", "ML"):
            yield name, method, len(known.y), _of_set(known, method)
    known = lcstudy(small=True)
    yield "lcstudy_kr_small", "REML", len(known.y), _of_small(known)
    if not (SHARED / "oracles").exists():
        return
    known = lcstudy(small=False)
    for method in ("REML", "ML"):
        yield "lcstudy", method, len(known.y), _of_set(known, method)
    known = insteval()
    yield "InstEval", "REML", len(known.y), _of_insteval(known)
    for outcome in ("read", "math"):
        known = star(outcome)
        yield f"star, {outcome}", "REML", len(known.y), _of_star(known)


def _fit(known: Oracle, method: str = "REML", theta: Array | None = None) -> Fit:
    return fit_arrays(
        known.y, known.x, known.terms, reml=method == "REML", weights=known.weights,
        theta=theta,
    )  # fmt: skip


def _relative(ours: object, r: object, *, floor: object = 0.0) -> float:
    """Largest absolute difference over the size of R's number."""
    theirs = np.asarray(r, dtype=np.float64)
    size = np.maximum(np.abs(theirs), np.asarray(floor, dtype=np.float64))
    return float((np.abs(np.asarray(ours, dtype=np.float64) - theirs) / size).max())


def _variances(fit: Fit) -> list[float]:
    return [float(v) for c in fit.covariances for v in np.diag(c)] + [fit.sigma**2]


def _of_set(known: Oracle, method: str) -> Differences:
    r = known.output[method]
    beta, errors = list(r["beta"].values()), list(r["se"].values())
    at_r, ours = _fit(known, method, known.theta(method)), _fit(known, method)
    rows = np.eye(len(beta))
    table = r["varcorr"]
    pairs = zip(table["vcov"], table["var2"], strict=True)
    variances = [v for v, second in pairs if second is None]
    kr_vcov = kr_df = None
    if "kr_vcov" in r:
        kr_vcov, kr_df = _of_kenward_roger(at_r, r)
    return Differences(
        criterion=ours.criterion - r["crit"],
        beta=_relative(at_r.beta, beta),
        errors=_relative(at_r.std_errors, errors),
        own_beta=_relative(ours.beta, beta, floor=errors),
        own_errors=_relative(ours.std_errors, errors),
        # R lists its groups by size, so both are compared in ascending order.
        variances=_relative(
            sorted(_variances(ours)), sorted(variances), floor=1e-6 * r["sigma"] ** 2
        ),
        df=_relative(satterthwaite(ours).df(rows), r["satt"]["df"]),
        kr_vcov=kr_vcov,
        kr_df=kr_df,
    )


def _of_kenward_roger(at_r: Fit, r: dict[str, object]) -> tuple[float, float]:
    engine = kenward_roger(at_r)
    vcov = np.asarray(r["kr_vcov"], dtype=np.float64)
    root = np.sqrt(np.diag(vcov))
    found = np.abs(engine.vcov - vcov) / np.outer(root, root)
    table = r["kr"]
    df = table["df"] if isinstance(table, dict) else []
    return float(found.max()), _relative(engine.df(np.eye(len(vcov))), df)


def _of_small(known: Oracle) -> Differences:
    r = known.output
    theta = np.array([r["theta"][name] for name in known.theta_names])
    at_r = _fit(known, theta=theta)
    kr_vcov, kr_df = _of_kenward_roger(at_r, r)
    beta = _relative(at_r.beta, r["kr"]["Estimate"])
    return Differences(beta=beta, kr_vcov=kr_vcov, kr_df=kr_df)


def _of_insteval(known: Oracle) -> Differences:
    r = known.output
    beta, errors = list(r["beta"].values()), list(r["se"].values())
    theta = np.array([r["theta"][name] for name in known.theta_names])
    at_r, ours = _fit(known, theta=theta), _fit(known)
    return Differences(
        criterion=ours.criterion - r["crit"],
        beta=_relative(at_r.beta, beta),
        errors=_relative(at_r.std_errors, errors),
        own_beta=_relative(ours.beta, beta, floor=errors),
        own_errors=_relative(ours.std_errors, errors),
        variances=_relative(_variances(ours), r["varcorr"]["vcov"]),
    )


def _of_star(known: Oracle) -> Differences:
    r = known.output
    ours, coef = _fit(known), r["coef"]
    return Differences(
        criterion=ours.criterion - r["reml"],
        own_beta=_relative(ours.beta, coef["Estimate"], floor=coef["Std. Error"]),
        own_errors=_relative(ours.std_errors, coef["Std. Error"]),
        variances=_relative(_variances(ours), r["varcorr"]["vcov"]),
        df=_relative(satterthwaite(ours).df(np.eye(len(ours.beta))), coef["df"]),
    )
