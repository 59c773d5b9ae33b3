"""Questions that the engine refuses, each with one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from analyses.lmm.bootstrap import cluster_bootstrap
from analyses.lmm.design import Array, RandomTerm
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import fit_arrays
from analyses.lmm.influence import leave_one_out
from analyses.lmm.kenward_roger import kenward_roger
from analyses.lmm.zero_variance import variance_test

CODES = np.repeat(np.arange(6), 5)
TERM = RandomTerm("community", CODES, 6, np.ones((30, 1)))


def outcome() -> Array:
    return np.random.default_rng(1).normal(size=30) + CODES


@dataclass(frozen=True)
class Case:
    sentence: str
    y: Array = field(default_factory=outcome)
    x: Array = field(default_factory=lambda: np.ones((30, 1)))
    term: RandomTerm = TERM
    weights: Array | None = None
    names: tuple[str, ...] | None = None


def changed(value: float, at: int = 3) -> Array:
    y = outcome()
    y[at] = value
    return y


TIME = np.tile(np.arange(5.0), 6)
CASES = {
    "constant": Case(r"The outcome is constant", y=np.full(30, 2.5)),
    "exact": Case(
        r"exact sum of the fixed columns",
        y=2.0 + 3.0 * TIME,
        x=np.column_stack([np.ones(30), TIME]),
    ),
    "no residual": Case(
        r"reproduce the outcome", y=np.array([2.0, 3, 1, 7, 5, 4])[CODES]
    ),
    "not finite": Case(
        r"non-finite values of the outcome in 1 rows", y=changed(np.nan)
    ),
    "infinite column": Case(
        r"non-finite values of the fixed columns in 1 rows",
        x=np.column_stack([np.ones(30), changed(np.inf)]),
    ),
    "one level": Case(
        r"Factor community has one level", term=replace(TERM, codes=np.zeros(30, int))
    ),
    "all levels": Case(
        r"Factor community has as many groups as rows \(30\)",
        term=RandomTerm("community", np.arange(30), 30, np.ones((30, 1))),
    ),
    "too many effects": Case(
        r"Random term community has 30 effects for 30 rows",
        term=RandomTerm(
            "community",
            np.tile(np.arange(15), 2),
            15,
            np.column_stack([np.ones(30), TIME]),
            column_names=("(Intercept)", "time"),
        ),
    ),
    "aliased": Case(
        r"Random term community is a combination of the fixed columns",
        term=RandomTerm("community", CODES % 2, 2, np.ones((30, 1))),
        # Six kinds, three of them in one community and three in the other.
        x=np.eye(6)[CODES],
    ),
    "rank": Case(
        r"rank-deficient: (double|time) can be written",
        x=np.column_stack([np.ones(30), TIME, 2.0 * TIME - 1.0]),
        names=("(Intercept)", "time", "double"),
    ),
    "zero column": Case(
        r"rank-deficient: empty can be written",
        x=np.column_stack([np.ones(30), np.zeros(30)]),
        names=("(Intercept)", "empty"),
    ),
    "more columns than rows": Case(
        r"rank-deficient", x=np.random.default_rng(2).normal(size=(30, 31))
    ),
    "empty slope": Case(
        r"column \(Intercept\) is 0 in every row",
        term=replace(TERM, z=np.zeros((30, 1))),
    ),
    "codes": Case(r"group codes must lie from 0 to 3", term=replace(TERM, n_groups=4)),
    "weights": Case(r"Found 30 weights of 0 or less", weights=np.zeros(30)),
    "weights' length": Case(r"expected one for each row", weights=np.ones(29)),
    "rows": Case(r"expected n, n x p", x=np.ones((29, 1))),
    "names": Case(
        r"found 1 columns and 2 names", term=replace(TERM, column_names=("a", "b"))
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_refused_with_one_sentence(case: Case) -> None:
    with pytest.raises(LmmError, match=case.sentence) as raised:
        fit_arrays(
            case.y, case.x, [case.term], weights=case.weights, x_names=case.names
        )
    assert str(raised.value).endswith(".")
    assert "\n" not in str(raised.value)


def test_a_nearly_dependent_column_is_not_refused() -> None:
    years = 2015.0 + TIME  # far from 0, as years are
    fit = fit_arrays(outcome(), np.column_stack([np.ones(30), years]), [TERM])
    near = fit_arrays(outcome(), np.column_stack([np.ones(30), TIME]), [TERM])
    assert fit.beta[1] == pytest.approx(near.beta[1], rel=1e-6)
    assert fit.std_errors[1] == pytest.approx(near.std_errors[1], rel=1e-6)


def test_kenward_roger_refuses_ml_and_too_little_memory() -> None:
    x = np.ones((30, 1))
    with pytest.raises(LmmError, match="needs a REML fit"):
        kenward_roger(fit_arrays(outcome(), x, [TERM], reml=False))
    crossed = RandomTerm("wave", np.tile(np.arange(5), 6), 5, np.ones((30, 1)))
    fit = fit_arrays(outcome(), x, [TERM, crossed])
    with pytest.raises(LmmError, match="use Satterthwaite"):
        kenward_roger(fit, memory_limit=100)


def test_unknown_factors_and_terms_are_refused() -> None:
    fit = fit_arrays(outcome(), np.ones((30, 1)), [TERM])
    with pytest.raises(LmmError, match="no grouping factor school"):
        leave_one_out(fit, "school")
    with pytest.raises(LmmError, match="no grouping factor school"):
        cluster_bootstrap(fit, "school", n=2)
    with pytest.raises(LmmError, match="has 1 random terms"):
        variance_test(fit, 1)
    with pytest.raises(LmmError, match="Found 2 thetas"):
        fit_arrays(outcome(), np.ones((30, 1)), [TERM], theta=np.ones(2))
