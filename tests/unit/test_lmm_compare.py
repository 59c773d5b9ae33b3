"""Likelihood ratio tests: R's numbers, what counts as nested, and refusals."""

from __future__ import annotations

import polars as pl
import pytest

from analyses.lmm_compare import compare
from analyses.models import LmmFit, fit_lmm
from data_contracts.errors import ModelError
from tests.oracles.frames import fitted, frame


def _sleep(formula: str, *, reml: bool = False) -> LmmFit:
    return fit_lmm(formula, frame("sleepstudy"), reml=reml)


def _machines(random: str, *, reml: bool = True) -> LmmFit:
    return fit_lmm(f"score ~ Machine + {random}", frame("Machines"), reml=reml)


def test_agrees_with_anova_of_lme4() -> None:
    # anova(lmer(Reaction ~ 1 + (Days | Subject), REML = FALSE),
    #       lmer(Reaction ~ Days + (Days | Subject), REML = FALSE))
    small = _sleep("Reaction ~ 1 + (Days | Subject)")
    large = _sleep("Reaction ~ Days + (Days | Subject)")

    found = compare(large, small)

    assert found.statistic == pytest.approx(23.53653747, abs=1e-5)
    assert found.df == 1
    assert found.p_value == pytest.approx(1.225639973e-06, rel=1e-4)
    table = found.tidy()
    assert table["n_parameters"].to_list() == [5, 6]
    assert table["AIC"].to_list() == pytest.approx([1785.475882, 1763.939344])
    assert table["BIC"].to_list() == pytest.approx([1801.440666, 1783.097086])
    assert "Kenward-Roger's F test" in table["note"][1]


def test_random_parts_are_compared_by_reml_too() -> None:
    small, large = (
        _sleep("Reaction ~ Days + (1 | Subject)", reml=True),
        fitted("sleepstudy"),
    )

    found = large.compare(small)

    assert found.df == 2
    assert found.statistic == pytest.approx(small.criterion - large.criterion)
    assert "test_variance" in found.note


@pytest.mark.parametrize(
    ("small", "large", "df"),
    [
        ("(1 | Worker)", "(1 | Worker) + (1 | Worker:Machine)", 1),
        ("(1 | Worker) + (1 | Worker:Machine)", "(0 + Machine | Worker)", 4),
        ("(1 | Worker:Machine)", "(0 + Machine | Worker)", 5),
        ("(1 | Worker)", "(1 + Machine | Worker)", 5),
    ],
)
def test_nested_random_parts(small: str, large: str, df: int) -> None:
    assert compare(_machines(small), _machines(large)).df == df


def test_models_that_are_not_nested_are_refused() -> None:
    rows = frame("Penicillin")
    one = fit_lmm("diameter ~ 1 + (1 | plate)", rows)
    other = fit_lmm("diameter ~ 1 + (1 | sample)", rows)
    with pytest.raises(ModelError, match="not nested"):
        compare(one, other)
    days = frame("sleepstudy").with_columns(square=pl.col("Days") ** 2)
    line = fit_lmm("Reaction ~ Days + (1 | Subject)", days, reml=False)
    curve = fit_lmm("Reaction ~ square + (Days | Subject)", days, reml=False)
    with pytest.raises(ModelError, match="not nested"):
        compare(line, curve)
    with pytest.raises(ModelError, match="not nested"):
        compare(line, line)


def test_reml_fits_with_different_fixed_parts_are_refused() -> None:
    small = _sleep("Reaction ~ 1 + (Days | Subject)", reml=True)
    with pytest.raises(ModelError, match="REML likelihoods of different fixed parts"):
        compare(small, fitted("sleepstudy"))
    with pytest.raises(ModelError, match="One fit is by REML"):
        compare(fitted("sleepstudy", reml=False), small)


def test_fits_of_other_rows_outcomes_or_weights_are_refused() -> None:
    whole = fitted("sleepstudy")
    less = fit_lmm("Reaction ~ Days + (1 | Subject)", frame("sleepstudy")[:170])
    with pytest.raises(ModelError, match=r"different rows \(170 and 180\)"):
        compare(whole, less)
    named = frame("sleepstudy").rename({"Reaction": "speed"})
    other = fit_lmm("speed ~ Days + (1 | Subject)", named)
    with pytest.raises(ModelError, match="different outcomes"):
        compare(whole, other)
    with pytest.raises(ModelError, match="different weights"):
        compare(fit_lmm("Reaction ~ Days + (1 | Subject)", frame("weighted")),
                fitted("weighted"))  # fmt: skip


def test_bootstrap_draws_from_the_smaller_model() -> None:
    # The slopes of sleepstudy do vary: no draw from a model without them comes near.
    one = _sleep("Reaction ~ Days + (1 | Subject)", reml=True)
    two = fitted("sleepstudy")

    plain = compare(one, two)
    found = compare(one, two, n_bootstrap=100, seed=2)

    assert found.statistic == plain.statistic
    assert (plain.method, found.method) == ("chi-square", "bootstrap")
    assert found.p_value == pytest.approx(1.0 / 101.0)
    assert found.note == "100 draws from the smaller model."
