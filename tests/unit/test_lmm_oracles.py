"""The engine against R (lme4, lmerTest, pbkrtest), number by number.

Tolerances are those of the project's statistics specification; each set's data, script
and output lie together in tests/oracles.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_allclose

from analyses.lmm.effects import random_effects
from analyses.lmm.fit import Fit, fit_arrays
from analyses.lmm.kenward_roger import kenward_roger
from analyses.lmm.profile import profile
from analyses.lmm.rows import row_diagnostics
from analyses.lmm.satterthwaite import satterthwaite
from analyses.lmm.zero_variance import variance_test
from tests.oracles.designs import (
    HERE,
    NAMES,
    SHARED,
    Oracle,
    insteval,
    lcstudy,
    oracle,
    star,
)

METHODS = ("REML", "ML")
SHARED_ONLY = pytest.mark.skipif(
    not (SHARED / "oracles").exists(),
    reason="reads the large reference sets from ../shared, which is not here",
)
SETS = [pytest.param(name) for name in NAMES] + [
    pytest.param("lcstudy", marks=SHARED_ONLY)
]
OF_MORE_R = {"crossed_slopes", "factor_slope", "singular", "three_level", "weighted"}
WITH_BLUPS = [n for n in NAMES if n not in OF_MORE_R] + SETS[-1:]
WITH_KR = [
    "Dyestuff", "Machines", "Pastes", "Penicillin", "cake", "crossed_slopes",
    "factor_slope", "singular", "sleepstudy", "sleepstudy_na", "sleepstudy_uncor",
    "three_level",
]  # fmt: skip


@cache
def reference(name: str) -> Oracle:
    return lcstudy(small=False) if name == "lcstudy" else oracle(name)


@cache
def fitted(name: str, method: str, *, at_r: bool) -> Fit:
    known = reference(name)
    return fit_arrays(
        known.y,
        known.x,
        known.terms,
        reml=method == "REML",
        weights=known.weights,
        theta=known.theta(method) if at_r else None,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
def test_criterion_is_no_higher_than_that_of_r(name: str, method: str) -> None:
    ours, r = fitted(name, method, at_r=False), reference(name).output[method]
    assert ours.criterion <= r["crit"] + 1e-6
    assert_allclose(fitted(name, method, at_r=True).criterion, r["crit"], atol=1e-8)
    assert_allclose(-0.5 * ours.criterion, ours.log_likelihood)
    assert_allclose([ours.aic, ours.bic], [r["AIC"], r["BIC"]], atol=1e-5)
    assert ours.is_singular == r["singular"]
    assert ours.record.converged


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
def test_fixed_effects_and_errors(name: str, method: str) -> None:
    r = reference(name).output[method]
    beta, errors = list(r["beta"].values()), list(r["se"].values())
    at_r, ours = fitted(name, method, at_r=True), fitted(name, method, at_r=False)
    assert_allclose(at_r.beta, beta, rtol=1e-6)
    assert_allclose(at_r.std_errors, errors, rtol=1e-6)
    assert_allclose(ours.beta, beta, rtol=1e-4, atol=1e-4 * max(errors))
    assert_allclose(ours.std_errors, errors, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
def test_variances(name: str, method: str) -> None:
    table = reference(name).output[method]["varcorr"]
    r = [
        v
        for v, second in zip(table["vcov"], table["var2"], strict=True)
        if second is None
    ]
    ours = fitted(name, method, at_r=False)
    own = [v for c in ours.covariances for v in np.diag(c)] + [ours.sigma**2]
    assert_allclose(sorted(own), sorted(r), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
def test_satterthwaite_df(name: str, method: str) -> None:
    r = reference(name).output[method]["satt"]["df"]
    rows = np.eye(len(r))
    # Near-flat likelihoods: R's differences and stopping point show.
    loose = 5e-3 if name in {"singular", "crossed_slopes"} else 1e-3
    assert_allclose(
        satterthwaite(fitted(name, method, at_r=True)).df(rows), r, rtol=loose
    )
    ours = satterthwaite(fitted(name, method, at_r=False)).df(rows)
    assert_allclose(ours, r, rtol=loose)


@pytest.mark.parametrize("name", WITH_KR)
def test_kenward_roger_covariance_and_df(name: str) -> None:
    r = reference(name).output["REML"]
    rows = np.eye(len(r["kr"]["df"]))
    at_r = kenward_roger(fitted(name, "REML", at_r=True))
    scale = np.sqrt(np.outer(np.diag(r["kr_vcov"]), np.diag(r["kr_vcov"])))
    assert_allclose(at_r.vcov / scale, np.array(r["kr_vcov"]) / scale, atol=1e-6)
    assert_allclose(at_r.df(rows), r["kr"]["df"], rtol=1e-4)
    ours = kenward_roger(fitted(name, "REML", at_r=False))
    assert_allclose(ours.df(rows), r["kr"]["df"], rtol=1e-3)


def test_kenward_roger_on_half_of_the_study_of_communities() -> None:
    known = lcstudy(small=True)
    r = known.output
    theta = np.array([r["theta"][name] for name in known.theta_names])
    at_r = kenward_roger(fit_arrays(known.y, known.x, known.terms, theta=theta))
    assert_allclose(at_r.vcov, r["kr_vcov"], rtol=1e-4)
    assert_allclose(at_r.df(np.eye(9)), r["kr"]["df"], rtol=1e-4)


@pytest.mark.parametrize("kind", ["satt", "kr"])
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("Machines", [1, 2]),
        ("cake", list(range(8, 18))),
        ("factor_slope", [1, 2]),
    ],
)
def test_f_tests_of_several_rows(name: str, columns: list[int], kind: str) -> None:
    table = reference(name).output["REML"][f"{kind}_anova"]
    fit = fitted(name, "REML", at_r=True)
    engine = satterthwaite(fit) if kind == "satt" else kenward_roger(fit)
    test = engine.f_test(np.eye(len(fit.beta))[columns])  # the last of R's table
    assert_allclose(test.statistic, table["F value"][-1], rtol=1e-4)
    assert test.df_num == table["NumDF"][-1]
    assert_allclose(test.df_den, table["DenDF"][-1], rtol=1e-3)


def test_community_contrast_of_a_singular_fit_keeps_few_df() -> None:
    # Five of 11 communities have the feature; R: Satterthwaite 193, KR 8.96.
    fit = fitted("singular", "REML", at_r=False)
    row = np.array([[0.0, 0.0, 1.0]])
    assert fit.is_singular
    assert fit.record.at_zero == ("community: (Intercept)",)
    assert satterthwaite(fit).df(row)[0] > 150.0
    assert 8.9 < kenward_roger(fit).df(row)[0] < 9.0


@pytest.mark.parametrize("name", WITH_BLUPS)
def test_random_effects_and_their_conditional_variances(name: str) -> None:
    known = reference(name)
    r = known.output["REML"]
    fit = fitted(name, "REML", at_r=True)
    for term, effects in zip(known.terms, random_effects(fit), strict=True):
        if len([t for t in known.terms if t.name == term.name]) > 1:
            continue  # R gives such terms in one table
        table, variances = r["blup"][term.name], r["condvar"][term.name]
        columns = [v for key, v in table.items() if key not in {"level", "_row"}]
        levels = np.argsort(_text_order(table["level"], term.name))
        values = np.array(columns).T[levels]
        assert_allclose(effects.estimate, values, atol=1e-6 * np.abs(values).max())
        spread = np.array(variances)[levels].reshape(effects.covariance.shape)
        assert_allclose(effects.covariance, spread, atol=1e-6 * np.abs(spread).max())


def _text_order(levels: list[str], name: str) -> list[str]:
    """Levels in the order of the codes here (cask:batch is coded batch first)."""
    if name == "cask:batch":
        levels = [":".join(reversed(level.split(":"))) for level in levels]
    return levels


@pytest.mark.parametrize(
    "name", ["weighted", "three_level", "crossed_slopes", "singular", "factor_slope"]
)
def test_fitted_values_and_leverage(name: str) -> None:
    r = reference(name).output["REML"]
    rows = row_diagnostics(fitted(name, "REML", at_r=True))
    assert_allclose(rows.fitted, r["fitted"], rtol=1e-6)
    assert_allclose(rows.leverage, r["hat"], rtol=1e-6, atol=1e-9)


def test_profile_intervals() -> None:
    r = reference("weighted").output["ML"]["profile"]
    found = profile(fitted("weighted", "REML", at_r=False))
    assert [p.kind for p in found] == ["sd", "correlation", "sd", "sigma"]
    assert_allclose([p.low for p in found], r["low"], rtol=1e-3, atol=1e-3)
    assert_allclose([p.high for p in found], r["high"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["factor_slope", "crossed_slopes", "three_level"])
def test_profile_intervals_of_standard_deviations(name: str) -> None:
    # lme4 interpolates its profile by splines: its ends of correlations are off by up
    # to .1 where the deviance bends (an independent search confirms ours), and so is
    # the lower end of the class slope.
    r = reference(name).output["ML"]["profile"]
    found = profile(fitted(name, "REML", at_r=False))
    assert len(found) == len(r["low"])
    for ours, low, high in zip(found, r["low"], r["high"], strict=True):
        assert ours.converged
        if ours.kind != "correlation":
            assert ours.low == pytest.approx(low, rel=1e-3, abs=5e-3)
            assert ours.high == pytest.approx(high, rel=1e-3)


def test_profile_interval_of_a_variance_at_zero_starts_at_zero() -> None:
    r = reference("singular").output["ML"]["profile"]
    found = profile(fitted("singular", "REML", at_r=False))
    assert_allclose([p.low for p in found], r["low"], rtol=1e-3, atol=1e-6)
    assert_allclose([p.high for p in found], r["high"], rtol=1e-3)


def test_exact_restricted_likelihood_ratio_test_of_a_zero_variance() -> None:
    r = json.loads((HERE / "zero_variance.json").read_text("utf-8"))
    ours = variance_test(fitted("Dyestuff", "REML", at_r=False), 0, n=100_000, seed=3)
    assert ours.method == "exact"
    assert_allclose(ours.statistic, r["statistic"], rtol=1e-6)
    error = np.sqrt(r["p_value"] * (1 / 100_000 + 1 / r["nsim"]))
    assert abs(ours.p_value - r["p_value"]) < 4.0 * error


@SHARED_ONLY
@pytest.mark.parametrize("outcome", ["read", "math"])
def test_tennessee_star(outcome: str) -> None:
    known = star(outcome)
    r = known.output
    fit = fit_arrays(known.y, known.x, known.terms)
    assert fit.n_obs == r["n"]
    assert fit.criterion <= r["reml"] + 1e-6
    assert_allclose(fit.beta, r["coef"]["Estimate"], rtol=1e-4)
    assert_allclose(fit.std_errors, r["coef"]["Std. Error"], rtol=1e-4)
    own = [float(c[0, 0]) for c in fit.covariances] + [fit.sigma**2]
    assert_allclose(own, r["varcorr"]["vcov"], rtol=1e-3)
    df = satterthwaite(fit).df(np.eye(len(fit.beta)))
    assert_allclose(df, r["coef"]["df"], rtol=1e-3)


@SHARED_ONLY
@pytest.mark.slow
def test_insteval() -> None:
    known = insteval()
    r = known.output
    theta = np.array([r["theta"][name] for name in known.theta_names])
    fit = fit_arrays(known.y, known.x, known.terms)
    assert fit.criterion <= r["crit"] + 1e-6
    assert_allclose(fit.beta, list(r["beta"].values()), rtol=1e-4)
    assert_allclose(fit.std_errors, list(r["se"].values()), rtol=1e-4)
    assert_allclose(fit.theta, theta, rtol=1e-3)
