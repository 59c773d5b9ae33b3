"""Bootstrap, influence and variance tests against planted truth and plain refits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from analyses.lmm.bootstrap import bootstrap, cluster_bootstrap
from analyses.lmm.design import RandomTerm
from analyses.lmm.fit import Fit, fit_arrays
from analyses.lmm.influence import leave_one_out
from analyses.lmm.rows import row_diagnostics, simulate
from analyses.lmm.zero_variance import variance_test


def study(community_sd: float = 0.4, *, seed: int = 1, weighted: bool = False) -> Fit:
    """11 communities of 12 students with 4 waves and a slope over them."""
    random = np.random.default_rng(seed)
    student = np.repeat(np.arange(132), 4)
    community = student % 11
    time = np.tile(np.arange(4.0), 132)
    mentor = (community < 5).astype(float)
    y = 3.0 + 0.1 * time + random.normal(0.0, community_sd, 11)[community]
    y += random.normal(0.0, 0.7, 132)[student]
    y += random.normal(0.0, 0.15, 132)[student] * time + random.normal(0.0, 0.6, 528)
    one = np.ones(528)
    terms = [
        RandomTerm(
            "student", student, 132, np.column_stack([one, time]), True, ("1", "time")
        ),
        RandomTerm("community", community, 11, one[:, None]),
    ]
    weights = 0.5 + time if weighted else None
    x = np.column_stack([one, time, mentor])
    return fit_arrays(y, x, terms, weights=weights)


def test_simulated_outcomes_have_the_model_s_moments() -> None:
    fit = study(weighted=True)
    draws = simulate(fit, 4000, seed=2)
    expected = fit.design.x @ fit.beta
    student, community = (c for c in fit.covariances)
    z = fit.design.terms[0].z
    weights = fit.design.weights
    assert weights is not None
    variance = np.einsum("na,ab,nb->n", z, student, z) + community[0, 0]
    variance += fit.sigma**2 / weights
    assert_allclose(draws.mean(axis=1), expected, atol=5.0 * np.sqrt(2.0 / 4000))
    assert_allclose(draws.var(axis=1) / variance, 1.0, atol=0.15)
    together = np.cov(draws[0], draws[44])[0, 1]  # two students of one community
    assert together == pytest.approx(community[0, 0], abs=0.1)
    assert_allclose(simulate(fit, 2, seed=2), simulate(fit, 2, seed=2))


def test_parametric_bootstrap_spreads_as_the_standard_errors_say() -> None:
    fit = study()
    drawn = bootstrap(fit, n=300, seed=3)
    assert drawn.beta.shape == (300, 3)
    assert_allclose(drawn.beta.std(axis=0) / fit.std_errors, 1.0, atol=0.15)
    low, high = drawn.interval(drawn.sigma)
    assert low < fit.sigma < high
    assert np.all(np.abs(drawn.correlation[0]) <= 1.0 + 1e-9)
    assert_allclose(bootstrap(fit, n=5, seed=3).beta, bootstrap(fit, n=5, seed=3).beta)


def test_cluster_bootstrap_of_communities_finds_their_spread() -> None:
    fit = study()
    drawn = cluster_bootstrap(fit, "community", n=40, seed=4)
    ratio = drawn.beta.std(axis=0) / fit.std_errors
    assert np.all((ratio > 0.5) & (ratio < 1.6))
    assert len(drawn.sigma) + drawn.n_failed == 40


def test_leaving_one_community_out_is_the_plain_refit() -> None:
    fit = study(weighted=True)
    found = leave_one_out(fit, "community")
    design = fit.design
    assert list(found.groups) == list(range(11))
    for group in (0, 7):
        kept = design.terms[1].codes != group
        terms = [replace(t, codes=t.codes[kept], z=t.z[kept]) for t in design.terms]
        assert design.weights is not None
        plain = fit_arrays(
            design.y[kept], design.x[kept], terms, weights=design.weights[kept]
        )
        assert_allclose(found.beta[group], plain.beta, rtol=1e-4)
        change = (fit.beta - plain.beta) / plain.std_errors
        assert_allclose(found.dfbetas[group], change, atol=1e-3)
        assert_allclose(found.sigma[group], plain.sigma, rtol=1e-4)


def test_an_outlying_community_is_the_most_influential() -> None:
    fit = study(0.05)
    community = fit.design.terms[1].codes
    y = fit.design.y + 5.0 * (community == 2)
    again = fit_arrays(y, fit.design.x, fit.design.terms)
    assert int(np.argmax(leave_one_out(again, "community").cook)) == 2


def test_a_group_that_cannot_be_left_out_is_a_gap_and_no_error() -> None:
    fit = study()
    only = (fit.design.terms[1].codes == 3).astype(float)
    x = np.column_stack([fit.design.x, only])
    found = leave_one_out(fit_arrays(fit.design.y, x, fit.design.terms), "community")
    assert np.isnan(found.beta[3]).all()
    assert np.isfinite(np.delete(found.beta, 3, axis=0)).all()


def test_bootstrap_test_of_the_community_variance() -> None:
    present = variance_test(study(0.6), 1, n=99)
    absent = variance_test(study(0.0, seed=8), 1, n=99)
    assert (present.method, absent.method) == ("bootstrap", "bootstrap")
    assert present.p_value == pytest.approx(0.01)
    assert absent.p_value > 0.1
    assert absent.statistic >= 0.0


def test_null_of_one_variance_is_exact_under_the_null() -> None:
    # Under a true null the test at 5% rejects about 5% (Monte Carlo SE 1.1%).
    random = np.random.default_rng(6)
    codes = np.repeat(np.arange(11), 12)
    term = RandomTerm("community", codes, 11, np.ones((132, 1)))
    x = np.column_stack([np.ones(132), random.normal(size=132)])
    rejected = []
    for _ in range(400):
        fit = fit_arrays(random.normal(size=132), x, [term])
        rejected.append(variance_test(fit, 0, n=1000).p_value <= 0.05)
    assert 0.025 < np.mean(rejected) < 0.08


def test_test_of_a_term_with_a_slope_takes_the_bootstrap() -> None:
    fit = study()
    alone = fit_arrays(fit.design.y, fit.design.x, fit.design.terms[:1])
    test = variance_test(alone, 0, n=49)
    assert test.method == "bootstrap"
    assert test.p_value == pytest.approx(0.02)


def test_residuals_and_leverage_add_up() -> None:
    fit = study(weighted=True)
    rows = row_diagnostics(fit)
    assert_allclose(rows.fitted + rows.residual, fit.design.y)
    assert np.all((rows.leverage > 0.0) & (rows.leverage < 1.0))
    # The fixed effects alone account for p, the groups for more.
    assert rows.leverage.sum() > len(fit.beta)
    assert rows.standardised.std() == pytest.approx(1.0, abs=0.15)
