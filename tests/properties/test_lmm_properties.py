"""Properties of the mixed model engine on small random designs."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from analyses.lmm import layout
from analyses.lmm.covariance import Covariance
from analyses.lmm.crossproducts import cross_products
from analyses.lmm.design import Array, RandomTerm, make_design
from analyses.lmm.effects import random_effects
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import as_ml, fit_arrays, refit
from analyses.lmm.kenward_roger import kenward_roger
from analyses.lmm.objective import Objective
from analyses.lmm.rows import row_diagnostics
from analyses.lmm.satterthwaite import satterthwaite
from tests.properties.dense_lmm import dense_fit, dense_kenward_roger
from tests.properties.random_designs import Drawn, designs

FEW = settings(max_examples=25, deadline=None)
FEWER = settings(max_examples=12, deadline=None)


def objective_of(
    drawn: Drawn, *, max_stages: int | None = None
) -> tuple[Objective, Covariance]:
    design = make_design(drawn.y, drawn.x, drawn.terms, weights=drawn.weights)
    outcome, _, _ = design.response(drawn.y[:, None])
    products = cross_products(design, outcome[:, 0])
    plan = layout.make_layout(products, max_stages=max_stages)
    return Objective(products, plan), Covariance(design)


@pytest.mark.parametrize("small_core", [0, 40])
@given(drawn=designs(), reml=st.booleans())
@FEW
def test_block_path_is_the_dense_computation(
    small_core: int, drawn: Drawn, reml: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SMALL_CORE", small_core)
        fit = fit_arrays(
            drawn.y, drawn.x, drawn.terms,
            reml=reml, weights=drawn.weights, theta=drawn.theta,
        )  # fmt: skip
        effects, rows = random_effects(fit), row_diagnostics(fit)
    dense = dense_fit(
        drawn.y, drawn.x, drawn.terms, drawn.theta, reml=reml, weights=drawn.weights
    )
    assert_allclose(fit.criterion, dense.criterion, rtol=1e-8)
    assert_allclose(fit.beta, dense.beta, rtol=1e-6, atol=1e-8)
    assert_allclose(fit.vcov, dense.vcov, rtol=1e-5, atol=1e-9)
    assert_allclose(fit.sigma, dense.sigma, rtol=1e-8)
    own = np.concatenate([e.estimate.ravel() for e in effects])
    assert_allclose(own, dense.effects, rtol=1e-5, atol=1e-6)
    spread = np.concatenate(
        [np.einsum("gaa->ga", e.covariance).ravel() for e in effects]
    )
    assert_allclose(spread, np.diag(dense.effect_cov), rtol=1e-4, atol=1e-6)
    assert_allclose(rows.leverage, dense.leverage, rtol=1e-5, atol=1e-7)
    assert_allclose(rows.fitted, dense.fitted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("small_core", [0, 40])
@given(drawn=designs(), weight=st.sampled_from([0.0, 1.0]))
@FEW
def test_gradient_is_that_of_finite_differences(
    small_core: int, drawn: Drawn, weight: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SMALL_CORE", small_core)
        objective, covariance = objective_of(drawn)

    def value(theta: Array) -> float:
        at = objective.forward(covariance.own_lambdas(theta))
        return at.log_det + weight * at.log_det_x + 40.0 * float(np.log(at.rss))

    at = objective.forward(covariance.own_lambdas(drawn.theta))
    bars = objective.backward(at, x_weight=weight, rss_weight=40.0 / at.rss)
    analytic = covariance.own_gradient(bars)
    # The scheme's own error is of order step^4; a smaller step would differentiate
    # the rounding of a value in the hundreds.
    step = 1e-3
    for k in range(len(covariance)):
        e = np.zeros(len(covariance))
        e[k] = step
        near = value(drawn.theta + e) - value(drawn.theta - e)
        far = value(drawn.theta + 2 * e) - value(drawn.theta - 2 * e)
        numeric = (8.0 * near - far) / (12.0 * step)
        assert_allclose(analytic[k], numeric, rtol=2e-5, atol=2e-4)


@given(drawn=designs())
@FEW
def test_kenward_roger_is_the_dense_computation(drawn: Drawn) -> None:
    assume(len({t.name for t in drawn.terms}) == len(drawn.terms))
    assume(sum(t.n_columns for t in drawn.terms) <= 4)
    fit = fit_arrays(
        drawn.y, drawn.x, drawn.terms, weights=drawn.weights, theta=drawn.theta
    )
    ours = kenward_roger(fit)
    vcov, df = dense_kenward_roger(drawn.x, drawn.terms, drawn.theta, drawn.weights)
    scale = np.sqrt(np.outer(np.diag(vcov), np.diag(vcov)))
    assert_allclose(ours.vcov / fit.sigma**2 / scale, vcov / scale, atol=1e-5)
    assert_allclose(ours.df(np.eye(3)), df, rtol=1e-4)


@given(drawn=designs(), reml=st.booleans())
@FEWER
def test_at_the_optimum_no_neighbour_is_lower(drawn: Drawn, reml: bool) -> None:
    assume(len({t.name for t in drawn.terms}) == len(drawn.terms))
    fit = fit_arrays(drawn.y, drawn.x, drawn.terms, reml=reml, weights=drawn.weights)
    assert fit.record.converged
    for k in range(len(fit.theta)):
        for step in (-1e-2, 1e-2):
            other = fit.theta.copy()
            other[k] += step
            near = dense_fit(
                drawn.y, drawn.x, drawn.terms, other, reml=reml, weights=drawn.weights
            ).criterion
            assert near >= fit.criterion - 1e-6


@given(drawn=designs(), seed=st.integers(0, 1000))
@FEWER
def test_order_of_rows_and_labels_of_groups_do_not_matter(
    drawn: Drawn, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.permutation(len(drawn.y))
    terms = []
    for term in drawn.terms:
        # Labels are dealt anew, and unused ones appear between them.
        label = random.permutation(term.n_groups + 3)
        terms.append(
            replace(
                term,
                codes=label[term.codes][rows],
                n_groups=term.n_groups + 3,
                z=term.z[rows],
            )
        )
    weights = drawn.weights
    one = fit_arrays(drawn.y, drawn.x, drawn.terms, weights=weights, theta=drawn.theta)
    two = fit_arrays(
        drawn.y[rows], drawn.x[rows], terms,
        weights=None if weights is None else weights[rows], theta=drawn.theta,
    )  # fmt: skip
    assert_allclose(one.criterion, two.criterion, rtol=1e-9)
    assert_allclose(one.beta, two.beta, rtol=1e-6, atol=1e-9)


@given(drawn=designs(), shift=st.floats(-1e4, 1e4), scale=st.floats(1e-3, 1e3))
@FEWER
def test_shift_and_scale_of_the_outcome_go_through(
    drawn: Drawn, shift: float, scale: float
) -> None:
    terms, weights = drawn.terms[:1], drawn.weights
    one = fit_arrays(drawn.y, drawn.x, terms, weights=weights)
    two = fit_arrays(shift + scale * drawn.y, drawn.x, terms, weights=weights)
    moved = one.beta * scale
    moved[0] += shift
    size = scale * one.std_errors
    assert_allclose(two.beta / size, moved / size, atol=1e-3, rtol=1e-6)
    assert_allclose(two.sigma, scale * one.sigma, rtol=1e-4)
    m = len(drawn.y) - 3
    gain = two.criterion - one.criterion - 2.0 * m * np.log(scale)
    assert_allclose(gain, 0.0, atol=1e-5)


@given(drawn=designs(), centre=st.floats(-3000, 3000), unit=st.floats(0.01, 100))
@FEWER
def test_unit_and_origin_of_a_slope_do_not_change_the_fit(
    drawn: Drawn, centre: float, unit: float
) -> None:
    slope = drawn.x[:, 1]
    other = centre + unit * slope
    fits = []
    for column in (slope, other):
        z = np.column_stack([np.ones(len(slope)), column])
        term = replace(
            drawn.terms[0], z=z, correlated=True, column_names=("one", "slope")
        )
        x = np.column_stack([np.ones(len(slope)), column, drawn.x[:, 2]])
        fits.append(fit_arrays(drawn.y, x, [term], reml=False))
    assert_allclose(fits[0].criterion, fits[1].criterion, atol=1e-5)
    assert_allclose(fits[0].sigma, fits[1].sigma, rtol=1e-4)


def test_nested_given_as_nested_is_nested_given_as_crossed() -> None:
    random = np.random.default_rng(5)
    student = np.repeat(np.arange(300), 3)
    community, school = student % 30, student % 30 % 6
    y = random.normal(size=900) + random.normal(size=300)[student] + community % 3
    one = np.ones((900, 1))
    terms = [
        RandomTerm("student", student, 300, one),
        RandomTerm("community", community, 30, one),
        RandomTerm("school", school, 6, one),
    ]
    x = np.column_stack([np.ones(900), random.normal(size=900)])
    design = make_design(y, x, terms)
    outcome, _, _ = design.response(y[:, None])
    products = cross_products(design, outcome[:, 0])
    covariance = Covariance(design)
    lambdas = covariance.own_lambdas(np.array([0.8, 0.5, 0.3]))
    found = []
    for small, stages in ((0, 3), (0, 1), (400, None)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layout, "SMALL_CORE", small)
            plan = layout.make_layout(products, max_stages=stages)
        objective = Objective(products, plan)
        at = objective.forward(lambdas)
        bars = objective.backward(at, x_weight=1.0, rss_weight=2.0)
        found.append([at.log_det, at.log_det_x, at.rss, *covariance.gradient(bars)])
        if stages == 3:
            assert [s.n_groups for s in plan.stages] == [300, 30, 6]
    assert_allclose(found[0], found[1], rtol=1e-10)
    assert_allclose(found[0], found[2], rtol=1e-10)


@given(drawn=designs())
@FEWER
def test_integer_weights_of_one_factor_are_repeated_rows(drawn: Drawn) -> None:
    # A row of weight 2 tells beta as much as two equal rows, at the same theta.
    counts = 1 + np.arange(len(drawn.y)) % 3
    weighted = fit_arrays(
        drawn.y, drawn.x, drawn.terms, weights=counts.astype(float), theta=drawn.theta
    )
    rows = np.repeat(np.arange(len(drawn.y)), counts)
    terms = [replace(t, codes=t.codes[rows], z=t.z[rows]) for t in drawn.terms]
    repeated = fit_arrays(drawn.y[rows], drawn.x[rows], terms, theta=drawn.theta)
    assert_allclose(weighted.beta, repeated.beta, rtol=1e-6, atol=1e-8)


@given(drawn=designs())
@FEWER
def test_many_responses_in_one_pass_are_single_fits(drawn: Drawn) -> None:
    terms = drawn.terms[:1]
    first = fit_arrays(drawn.y, drawn.x, terms, weights=drawn.weights)
    random = np.random.default_rng(3)
    others = random.normal(size=(len(drawn.y), 3)) + drawn.y[:, None] * [0.0, 1.0, 2.0]
    together = refit(first, others)
    for i in range(3):
        alone = fit_arrays(others[:, i], drawn.x, terms, weights=drawn.weights)
        correlated = terms[0].correlated and terms[0].n_columns > 1
        if correlated and (alone.is_singular or together.is_singular[i]):
            # A correlated term that lost rank can have several optima; the two
            # passes start from different places and need not end in the same one.
            continue
        assert_allclose(together.criterion[i], alone.criterion, atol=1e-6)
        assert together.is_singular[i] == alone.is_singular
    assert together.converged.all()


def test_a_variance_of_zero_is_a_flag_and_costs_nothing() -> None:
    random = np.random.default_rng(2)
    codes = np.repeat(np.arange(10), 6)
    y = random.normal(size=60)
    y -= np.bincount(codes, y)[codes] / 6.0  # equal group means: variance 0
    term = RandomTerm("community", codes, 10, np.ones((60, 1)))
    for reml in (True, False):
        fit = fit_arrays(y, np.ones((60, 1)), [term], reml=reml)
        assert fit.is_singular
        assert fit.theta[0] == 0.0
        assert fit.record.converged
        none = fit_arrays(y, np.ones((60, 1)), [term], reml=reml, theta=np.zeros(1))
        assert_allclose(fit.criterion, none.criterion)
    assert as_ml(fit_arrays(y, np.ones((60, 1)), [term])).is_singular


def test_a_small_variance_is_not_set_to_zero_where_that_costs() -> None:
    random = np.random.default_rng(4)
    codes = np.repeat(np.arange(200), 50)
    y = random.normal(size=10_000) + 0.08 * random.normal(size=200)[codes]
    term = RandomTerm("community", codes, 200, np.ones((10_000, 1)))
    fit = fit_arrays(y, np.ones((10_000, 1)), [term])
    none = fit_arrays(y, np.ones((10_000, 1)), [term], theta=np.zeros(1))
    assert not fit.is_singular
    assert fit.criterion < none.criterion


@given(drawn=designs())
@FEWER
def test_a_repeated_column_is_refused_by_name(drawn: Drawn) -> None:
    x = np.column_stack([drawn.x, drawn.x[:, 0] - 2.0 * drawn.x[:, 1]])
    with pytest.raises(LmmError, match="rank-deficient"):
        fit_arrays(drawn.y, x, drawn.terms)


@given(drawn=designs())
@FEWER
def test_a_fit_that_travelled_gives_the_same_inference(drawn: Drawn) -> None:
    # Simulations send fits to other processes.
    fit = fit_arrays(drawn.y, drawn.x, drawn.terms, theta=drawn.theta)
    twin = pickle.loads(pickle.dumps(fit))
    for _ in range(2):  # one's use must not disturb the other
        assert_allclose(satterthwaite(twin).jacobian, satterthwaite(fit).jacobian)
        assert_allclose(row_diagnostics(twin).leverage, row_diagnostics(fit).leverage)
