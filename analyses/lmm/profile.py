"""Profile intervals of variance parameters, on the scale that people read.

Parameters are each effect's standard deviation, each correlation within a term and
sigma. As lme4's `profile`, on the plain likelihood: one parameter is held, all
others are estimated anew, and the interval holds the values at which the deviance
is no more than a chi-square quantile above its minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from analyses.lmm.covariance import Covariance, entries, term_lambdas
from analyses.lmm.design import Array
from analyses.lmm.fit import LOG_2PI, Fit, as_ml
from analyses.lmm.optimise import minimise

__all__ = ["ProfiledParameter", "profile"]

SMALLEST = 1e-3  # relative standard deviation to start from where one is 0
CLOSE = 1e-4  # of the signed root deviance at an interval's end


@dataclass(frozen=True, eq=False)
class ProfiledParameter:
    """One variance parameter with its profile.

    Attributes:
        term: Place of the term, or None for sigma.
        kind: "sd", "correlation" or "sigma".
        names: Effect, or the two correlated effects.
        estimate: By plain likelihood.
        low: Lower end; 0 (or -1) where the profile does not rise enough.
        high: Upper end.
        values: Where the profile was taken.
        zeta: Signed root of the deviance above the minimum there.
        converged: Whether every inner search converged.
    """

    term: int | None
    kind: str
    names: tuple[str, ...]
    estimate: float
    low: float
    high: float
    values: Array
    zeta: Array
    converged: bool


def profile(fit: Fit, *, level: float = 0.95) -> tuple[ProfiledParameter, ...]:
    """Profile intervals of all standard deviations, correlations and sigma.

    Args:
        fit: A fit; a REML fit is fitted anew by plain likelihood first.
        level: Of the intervals.

    Source:
        Bates et al. (2015), section 5.3; checked against lme4's `confint`.
    """
    best = as_ml(fit) if fit.reml else fit
    wanted = float(norm.ppf(0.5 + level / 2.0))
    return tuple(_profile_one(best, held, wanted) for held in _parameters(best))


@dataclass(frozen=True)
class _Held:
    """Which parameter is held: effects a (and b) of a term, or sigma."""

    term: int | None
    kind: str
    a: int = 0
    b: int = 0


def _parameters(fit: Fit) -> list[_Held]:
    out = []
    for i, term in enumerate(fit.design.terms):
        for a in range(term.n_columns):
            out.append(_Held(i, "sd", a))
            if term.correlated:
                out += [
                    _Held(i, "correlation", a, b) for b in range(a + 1, term.n_columns)
                ]
    return [*out, _Held(None, "sigma")]


class _Profile:
    """The deviance with one parameter held, in free coordinates.

    The term's effects are ordered so that the held ones come first; then a held
    standard deviation is one entry of Lambda and a held correlation the direction
    of one row. The two lengths beside a held correlation enter by their logarithms,
    for a change of sign would turn the correlation round; sigma, last, does as well.
    """

    def __init__(self, fit: Fit, held: _Held) -> None:
        self.fit, self.held = fit, held
        self.covariance = Covariance(fit.design)
        self.terms = fit.design.terms
        self.sigma = fit.sigma / fit.scale
        self.places: list[tuple[int, int, int]] = []
        for i, term in enumerate(self.terms):
            for a, b in entries(term):
                if i == held.term and held.kind == "sd" and (a, b) == (0, 0):
                    continue
                if i == held.term and held.kind == "correlation" and (a, b) == (1, 0):
                    continue
                self.places.append((i, a, b))
        logs = {(held.term, 0, 0), (held.term, 1, 1)}
        self.is_log = np.array(
            [held.kind == "correlation" and p in logs for p in self.places], dtype=bool
        )
        self.diagonal = [
            p[1] == p[2] and not log
            for p, log in zip(self.places, self.is_log, strict=True)
        ]
        if held.kind != "sigma":
            self.diagonal.append(False)

    def order(self, i: int) -> list[int]:
        """Order of a term's effects with the held ones first."""
        q = self.terms[i].n_columns
        if i != self.held.term:
            return list(range(q))
        first = [self.held.a] + ([self.held.b] if self.held.kind != "sd" else [])
        return first + [a for a in range(q) if a not in first]

    def start(self) -> tuple[Array, float]:
        """Free coordinates at the optimum and the held value there."""
        free, value = [], self.sigma
        lambdas = term_lambdas(self.terms, self.fit.theta)
        ordered = []
        for i, lam in enumerate(lambdas):
            order = self.order(i)
            rows = lam[order]
            if self.terms[i].correlated:
                lower = np.asarray(np.linalg.qr(rows.T, mode="r")).T
                ordered.append(lower * np.where(np.diag(lower) < 0.0, -1.0, 1.0))
            else:
                ordered.append(np.diag(np.diag(lam)[order]))
        if self.held.term is not None:
            lam = ordered[self.held.term]
            if self.held.kind == "sd":
                value = self.sigma * abs(lam[0, 0])
            else:
                length = float(np.hypot(lam[1, 0], lam[1, 1]))
                value = float(lam[1, 0] / length) if length > 0.0 else 0.0
                lam = lam.copy()
                lam[1, 1] = length  # the free coordinate is the row's length
                ordered[self.held.term] = lam
        free = [ordered[i][a, b] for i, a, b in self.places]
        for k in np.flatnonzero(self.is_log):
            free[k] = np.log(max(free[k], SMALLEST))
        if self.held.kind != "sigma":
            free.append(np.log(self.sigma))
        return np.array(free), float(value)

    def at(self, value: float) -> Callable[[Array], tuple[float, Array]]:
        """Deviance and gradient in the free coordinates, the held one at a value."""
        held, n = self.held, self.fit.n_obs

        def function(free: Array) -> tuple[float, Array]:
            sigma = value if held.kind == "sigma" else float(np.exp(free[-1]))
            ordered = [np.zeros((t.n_columns, t.n_columns)) for t in self.terms]
            entered = free[: len(self.places)].copy()
            entered[self.is_log] = np.exp(entered[self.is_log])
            for number, (i, a, b) in zip(entered, self.places, strict=True):
                ordered[i][a, b] = number
            turn = np.array([value, np.sqrt(max(1.0 - value**2, 0.0))])
            length = 0.0
            if held.term is not None:
                own = ordered[held.term]
                if held.kind == "sd":
                    own[0, 0] = value / sigma
                else:
                    length = own[1, 1]
                    own[1, :2] = length * turn
            bars, parts = self._evaluate(ordered, sigma)
            slope = 2.0 * n - 2.0 * parts[1] / sigma**2
            if held.term is not None and held.kind == "sd":
                slope -= bars[held.term][0, 0] * value / sigma
            if held.term is not None and held.kind == "correlation":
                bar = bars[held.term]
                bar[1, 1] = float(bar[1, :2] @ turn)
            gradient = [bars[i][a, b] for i, a, b in self.places]
            for k in np.flatnonzero(self.is_log):
                gradient[k] *= entered[k]
            if held.kind != "sigma":
                gradient.append(slope)
            total = parts[0] + n * (LOG_2PI + 2.0 * np.log(sigma))
            return total + parts[1] / sigma**2, np.array(gradient)

        return function

    def _evaluate(
        self, ordered: list[Array], sigma: float
    ) -> tuple[list[Array], tuple[float, float]]:
        """Derivatives in each term's ordered Lambda; log-determinant and rss."""
        factors = self.fit.design.factors
        lambdas = []
        for factor in factors:
            inner = np.zeros((factor.n_columns, factor.n_columns))
            for slot in factor.slots:
                order = self.order(slot.term)
                back = np.argsort(order)
                inner[slot.start : slot.stop, slot.start : slot.stop] = ordered[
                    slot.term
                ][back]
            lambdas.append(factor.transform @ inner)
        at = self.fit.objective.forward(lambdas)
        found = self.fit.objective.backward(at, x_weight=0.0, rss_weight=sigma**-2)
        bars = [np.zeros(0)] * len(self.terms)
        for factor, bar in zip(factors, found, strict=True):
            own = factor.transform.T @ bar
            for slot in factor.slots:
                block = own[slot.start : slot.stop, slot.start : slot.stop]
                bars[slot.term] = block[self.order(slot.term)].copy()
        return bars, (at.log_det, at.rss)


def _profile_one(fit: Fit, held: _Held, wanted: float) -> ProfiledParameter:
    work = _Profile(fit, held)
    start, centre = work.start()
    base, _ = work.at(centre)(start)
    hessian = _hessian(work.at(centre), start)
    spread = _spread(work, start, centre, hessian)
    ends, values, zetas, converged = [], [centre], [0.0], True
    for side in (-1.0, 1.0):
        bound = {"sd": 0.0, "sigma": 0.0, "correlation": side}[held.kind]
        is_bounded = side < 0.0 or held.kind == "correlation"
        free, low, at_low, step = start, centre, 0.0, side * wanted * spread
        point, limit = centre + step, None
        for _ in range(12):
            if is_bounded and side * (point - bound) >= 0.0:
                point = bound if held.kind != "sigma" else 0.5 * low
            found, value, record = minimise(
                work.at(point), free, curvature=lambda _: hessian,
                diagonal=work.diagonal, rounding=1e-9, scoring_steps=0,
            )  # fmt: skip
            converged = converged and record.converged
            zeta = float(np.sqrt(max(value - base, 0.0)))
            values.append(point)
            zetas.append(side * zeta)
            if is_bounded and point == bound and zeta < wanted:
                limit = bound
                break
            if abs(zeta - wanted) < CLOSE:
                limit = point
                break
            slope = (zeta - at_low) / (point - low) if point != low else side / spread
            if zeta < wanted or at_low == 0.0:
                low, at_low, free = point, zeta, found
            if slope * side <= 0.0:
                slope = side / spread
            point = point + (wanted - zeta) / slope
        ends.append(point * 1.0 if limit is None else limit)
    scale = 1.0 if held.kind == "correlation" else fit.scale
    order = np.argsort(values)
    term = None if held.term is None else fit.design.terms[held.term]
    names: tuple[str, ...] = ()
    if term is not None:
        names = (term.column_names[held.a],)
        if held.kind == "correlation":
            names = (term.column_names[held.a], term.column_names[held.b])
    return ProfiledParameter(
        held.term, held.kind, names, scale * centre, scale * ends[0], scale * ends[1],
        scale * np.array(values)[order], np.array(zetas)[order], converged,
    )  # fmt: skip


def _hessian(function: Callable[[Array], tuple[float, Array]], at: Array) -> Array:
    """Positive definite curvature of a function at a point, by differences."""
    k = len(at)
    out = np.zeros((k, k))
    for i in range(k):
        shift = np.zeros(k)
        shift[i] = 1e-4 * max(1.0, abs(at[i]))
        out[i] = (function(at + shift)[1] - function(at - shift)[1]) / (2.0 * shift[i])
    values, vectors = np.linalg.eigh(0.5 * (out + out.T))
    floor = 1e-6 * max(float(values.max(initial=1.0)), 1.0)
    kept: Array = (vectors * np.maximum(values, floor)) @ vectors.T
    return kept


def _spread(work: _Profile, start: Array, centre: float, hessian: Array) -> float:
    """First guess of the held parameter's standard error."""
    step = 1e-3 * max(abs(centre), 0.1)
    if work.held.kind == "correlation":
        step = min(step, 0.5 * (1.0 - abs(centre)) + 1e-6)
    low, high = (
        work.at(centre - step)(start),
        work.at(centre + step)(start),
    )
    middle = work.at(centre)(start)[0]
    curve = (low[0] + high[0] - 2.0 * middle) / step**2
    mixed = (high[1] - low[1]) / (2.0 * step)
    curve -= float(mixed @ np.linalg.solve(hessian, mixed))
    widest = 0.5 if work.held.kind == "correlation" else max(abs(centre), 0.05)
    if not curve > 0.0:
        return widest
    return min(float(np.sqrt(2.0 / curve)), widest)
