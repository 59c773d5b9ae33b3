"""Adjustments against emmeans, and what must hold of any family."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_t, t

from analyses.adjust import ADJUSTMENTS, Array, Family, adjust
from data_contracts.errors import ModelError

# emmeans 1.8.4, Kenward-Roger df: summary(pairs(emmeans(lmer(score ~ Machine +
# (1 | Worker) + (1 | Worker:Machine), Machines), ~ Machine), adjust = .), infer = TRUE)
T = np.array([-3.659511433, -6.392661185, -2.733149752])
PAIRS = np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
P = {
    "tukey": [0.01114047288, 0.0002115828323, 0.05067064652],
    "holm": [0.008785265502, 0.0002371944973, 0.02107914006],
    "bonferroni": [0.01317789825, 0.0002371944973, 0.06323741997],
    "fdr": [0.006588949126, 0.0002371944973, 0.02107914006],
    "single-step": [0.01114047288, 0.0002115828323, 0.05067064652],
}
HALF = {"tukey": 5.96773228, "holm": 6.24807758, "bonferroni": 6.24807758}
STD_ERROR = 2.176975482


def _family(statistic: Array, contrasts: Array, df: float) -> Family:
    covariance = contrasts @ contrasts.T
    size = np.sqrt(np.diag(covariance))
    return Family(
        statistic=statistic,
        df=np.full(len(statistic), df),
        p_value=2.0 * t.sf(np.abs(statistic), df),
        correlation=covariance / np.outer(size, size),
        n_means=3,
    )


@pytest.mark.parametrize("method", list(P))
def test_p_values_agree_with_emmeans(method: str) -> None:
    # Equal standard errors: Tukey's is the exact single-step distribution.
    found = adjust(_family(T, PAIRS, 10.0), method)

    assert_allclose(found.p_value, P[method], rtol=1e-5)


@pytest.mark.parametrize("method", list(HALF))
def test_intervals_agree_with_emmeans(method: str) -> None:
    found = adjust(_family(T, PAIRS, 10.0), method)

    assert_allclose(found.critical * STD_ERROR, HALF[method], rtol=1e-7)
    assert found.interval == ("bonferroni" if method == "holm" else method)


def test_single_step_against_a_control_agrees_with_dunnett() -> None:
    # mvtnorm's qmvt and pmvt through emmeans' trt.vs.ctrl, adjust = "mvt"
    family = _family(np.array([3.659511433, 6.392661185]), -PAIRS[:2], 10.0)

    found = adjust(family, "single-step")

    assert_allclose(found.p_value, [0.008102555301, 0.0001495707325], rtol=1e-5)
    # pmvt is exact in two dimensions, qmvt is good to three digits
    assert_allclose(found.critical * STD_ERROR, 5.59175087, rtol=2e-4)


def test_single_step_is_multivariate_t_in_more_dimensions() -> None:
    random = np.random.default_rng(5)
    contrasts = random.standard_normal((4, 6))
    statistic = np.array([2.6, -1.1, 2.0, 0.4])
    family = _family(statistic, contrasts, 7.5)

    found = adjust(family, "single-step")

    for value, p in zip(statistic, found.p_value, strict=True):
        limit = np.full(4, abs(value))
        inside = multivariate_t.cdf(
            limit,
            shape=family.correlation,
            df=7.5,
            lower_limit=-limit,
            random_state=1,
            maxpts=200_000,
        )
        assert p == pytest.approx(1.0 - inside, abs=2e-4)


@pytest.mark.parametrize("method", ADJUSTMENTS)
def test_limits_and_p_values_say_the_same(method: str) -> None:
    random = np.random.default_rng(1)
    for df in (5.3, 40.0, np.inf):
        family = _family(random.standard_normal(3) * 2.5, PAIRS, df)
        found = adjust(family, method)
        assert np.all(found.p_value >= family.p_value - 1e-12)
        assert np.all(found.p_value <= 1.0)
        if method not in {"holm", "fdr"}:
            beyond = np.abs(family.statistic) > found.critical
            assert_allclose(beyond, found.p_value < 0.05)


def test_each_contrast_keeps_its_own_df() -> None:
    family = Family(
        statistic=np.array([2.0, 2.0, 2.0]),
        df=np.array([4.0, 12.0, np.inf]),
        p_value=2.0 * t.sf(2.0, [4.0, 12.0, np.inf]),
        correlation=np.eye(3),
        n_means=3,
    )
    for method in ("tukey", "single-step", "bonferroni"):
        found = adjust(family, method)
        assert np.all(np.diff(found.p_value) < 0.0)
        assert np.all(np.diff(found.critical) < 0.0)


def test_single_step_of_perfectly_correlated_contrasts_is_one_test() -> None:
    family = _family(np.array([2.0, 2.0]), np.array([[1.0, -1.0], [2.0, -2.0]]), 9.0)

    found = adjust(family, "single-step")

    assert_allclose(found.p_value, family.p_value, rtol=1e-9)


def test_meaningless_adjustments_are_refused() -> None:
    family = _family(T, PAIRS, 10.0)
    with pytest.raises(ModelError, match="expected one of none, tukey"):
        adjust(family, "scheffe")
    other = Family(
        family.statistic, family.df, family.p_value, family.correlation, None
    )
    with pytest.raises(ModelError, match="take single-step"):
        adjust(other, "tukey")
