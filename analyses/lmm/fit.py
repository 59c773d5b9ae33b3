"""Fit a linear mixed model to arrays: y = X b + Z u + e.

The arrays' door. Formulas and frames are opened elsewhere; tests of the fixed
effects, intervals and diagnostics take the frozen fit that comes out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyses.lmm.covariance import Covariance, term_lambdas
from analyses.lmm.crossproducts import cross_products, outcome_products
from analyses.lmm.design import Array, Design, RandomTerm, make_design
from analyses.lmm.errors import LmmError
from analyses.lmm.information import expected_curvature
from analyses.lmm.objective import Objective
from analyses.lmm.optimise import SCORING_STEPS, Record, minimise
from analyses.lmm.passes import Forward

__all__ = ["Fit", "Refits", "as_ml", "evaluate", "fit_arrays", "fit_design", "refit"]

LOG_2PI = float(np.log(2.0 * np.pi))
SINGULAR = 1e-4
CHEAP_CORE = 200
NO_RESIDUAL = 1e-10  # of the outcome's variance beside the fixed effects


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted linear mixed model.

    Attributes:
        design: The arrays and their transforms.
        reml: Whether the criterion is the restricted one.
        theta: Free entries of the relative covariance factors, by term as given
            (within a correlated term column by column, as lme4).
        sigma: Residual standard deviation (at weight 1).
        beta: Fixed effects, p.
        vcov: Their covariance, p x p, not adjusted for estimated variances.
        criterion: Minus twice the (restricted) log-likelihood.
        is_singular: Whether a relative covariance is not of full rank.
        record: How the fit went.
    """

    design: Design
    reml: bool
    theta: Array
    sigma: float
    beta: Array
    vcov: Array
    criterion: float
    is_singular: bool
    record: Record
    objective: Objective
    scale: float
    start: Array

    @property
    def n_obs(self) -> int:
        """Rows."""
        return self.design.n_rows

    @property
    def n_parameters(self) -> int:
        """Fixed effects, free covariance entries and the residual variance."""
        return len(self.beta) + len(self.theta) + 1

    @property
    def log_likelihood(self) -> float:
        """The log-likelihood, restricted in REML."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Akaike's criterion, as lme4 (the criterion of the fit, REML included)."""
        return self.criterion + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz' criterion with the number of rows, as lme4."""
        return self.criterion + float(np.log(self.n_obs)) * self.n_parameters

    @property
    def aicc(self) -> float:
        """Akaike's criterion with the small-sample correction."""
        k, n = self.n_parameters, self.n_obs
        return self.aic + 2.0 * k * (k + 1) / max(n - k - 1, 1)

    @property
    def std_errors(self) -> Array:
        """Standard errors of the fixed effects, not adjusted."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def covariances(self) -> tuple[Array, ...]:
        """Covariance matrix of each term's effects, q x q."""
        return tuple(
            self.sigma**2 * lam @ lam.T
            for lam in term_lambdas(self.design.terms, self.theta)
        )


@dataclass(frozen=True, eq=False)
class Refits:
    """Fits of one design to k outcomes.

    Attributes:
        theta: k x number of thetas.
        sigma: k.
        beta: k x p.
        std_errors: k x p.
        criterion: k.
        is_singular: k.
        converged: k.
        evaluations: k.
    """

    theta: Array
    sigma: Array
    beta: Array
    std_errors: Array
    criterion: Array
    is_singular: Array
    converged: Array
    evaluations: Array


def fit_arrays(
    y: Array,
    x: Array,
    terms: Sequence[RandomTerm],
    *,
    reml: bool = True,
    weights: Array | None = None,
    x_names: Sequence[str] | None = None,
    theta: Array | None = None,
) -> Fit:
    """Fit a linear mixed model by (restricted) maximum likelihood.

    Args:
        y: Outcome, n.
        x: Fixed columns, n x p, of full rank.
        terms: Random terms, nested or crossed, at least one.
        reml: Restricted likelihood, or plain.
        weights: Prior weights, n; Var(e_i) = sigma^2 / w_i.
        x_names: Names of the fixed columns.
        theta: Evaluate there and estimate nothing else than beta and sigma.

    Returns:
        The fit. Rows with missing values must be left out before.

    Raises:
        LmmError: The question has no answer; the message says why.

    Source:
        Bates et al. (2015), doi 10.18637/jss.v067.i01; elimination after Bates,
        Alday and Kokandakar (2025), arXiv 2505.11674.

    Examples:
        >>> codes = np.repeat(np.arange(6), 5)
        >>> y = np.repeat([3.0, 5.0, 4.0, 8.0, 1.0, 6.0], 5) + np.tile(np.arange(5), 6)
        >>> term = RandomTerm("batch", codes, 6, np.ones((30, 1)))
        >>> fit = fit_arrays(y, np.ones((30, 1)), [term])
        >>> round(float(fit.beta[0]), 6), fit.is_singular
        (6.5, False)
    """
    design = make_design(y, x, terms, weights=weights, x_names=x_names)
    return fit_design(design, reml=reml, theta=theta)


def fit_design(
    design: Design,
    *,
    reml: bool,
    theta: Array | None = None,
    start: Array | None = None,
) -> Fit:
    """Fit a design that is checked already.

    Args:
        design: From `make_design`.
        reml: Restricted likelihood, or plain.
        theta: Evaluate there and estimate nothing else than beta and sigma.
        start: Transformed theta to begin from, such as a similar fit's `start`.
    """
    outcome, centre, scale = design.response(design.y[:, None])
    objective = Objective(cross_products(design, outcome[:, 0]))
    at = (design, objective, centre[:, 0], float(scale[0]))
    return _fitted(*at, reml=reml, theta=theta, start=start)


def as_ml(fit: Fit) -> Fit:
    """The same model by plain likelihood; nothing is taken from the rows again."""
    design = fit.design
    _, centre, _ = design.response(design.y[:, None])
    parts = (design, fit.objective, centre[:, 0], fit.scale)
    return _fitted(*parts, reml=False, start=_away(Covariance(design), fit.start))


def _away(covariance: Covariance, start: Array) -> Array:
    """A start with no standard deviation at 0, where the gradient is 0 too."""
    small = np.array(covariance.diagonal) & (np.abs(start) < 0.2)
    return np.where(small, 0.2, start)


def _fitted(
    design: Design,
    objective: Objective,
    centre: Array,
    scale: float,
    *,
    reml: bool,
    theta: Array | None = None,
    start: Array | None = None,
) -> Fit:
    covariance = Covariance(design)
    if theta is not None:
        own = np.asarray(theta, dtype=np.float64)
        if own.shape != (len(covariance),):
            raise LmmError(f"Found {own.size} thetas; the model has {len(covariance)}.")
        best = covariance.to_transformed(own)
        record = Record(1, converged=True, why="theta was given", gradient=np.nan)
        at = objective.forward(covariance.lambdas(best))
    else:
        best, record, at = _optimum(objective, covariance, reml=reml, start=start)
        own = covariance.to_own(best)
    record = replace(record, at_zero=_at_zero(design, covariance, best))
    if theta is None and at.rss < NO_RESIDUAL * design.n_rows:
        raise LmmError(
            "The groups' effects reproduce the outcome: no residual variance is left to"
            " compare them with."
        )
    beta, vcov, sigma, criterion = evaluate(design, at, centre, scale, reml=reml)
    return Fit(
        design, reml, own, sigma, beta, vcov, criterion, bool(record.at_zero),
        record, objective, scale, best,
    )  # fmt: skip


def refit(fit: Fit, responses: Array) -> Refits:
    """Fit the same design to other outcomes; all but the outcome is shared.

    Args:
        fit: A fit of the design.
        responses: n x k.
    """
    design = fit.design
    outcomes, centres, scales = design.response(np.asarray(responses, dtype=np.float64))
    covariance = Covariance(design)
    products = outcome_products(design, outcomes)
    layout, base = fit.objective.layout, fit.objective.products
    k, p, n_theta = len(scales), design.n_fixed, len(covariance)
    theta, beta, errors = np.empty((k, n_theta)), np.empty((k, p)), np.empty((k, p))
    rest = np.empty((5, k))
    start = _away(covariance, fit.start)
    shared: dict[bytes, Array] = {}
    for i in range(k):
        own = base.with_outcome(tuple(part[:, i] for part in products))
        objective = Objective(own, layout)
        best, record, at = _optimum(
            objective, covariance, reml=fit.reml, start=start, shared=shared
        )
        b, vcov, sigma, criterion = evaluate(
            design, at, centres[:, i], float(scales[i]), reml=fit.reml
        )
        theta[i], beta[i] = covariance.to_own(best), b
        errors[i] = np.sqrt(np.diag(vcov))
        singular = bool(_at_zero(design, covariance, best))
        rest[:, i] = sigma, criterion, singular, record.converged, record.evaluations
    return Refits(
        theta, rest[0], beta, errors, rest[1], rest[2] > 0.0, rest[3] > 0.0,
        rest[4].astype(np.int64),
    )  # fmt: skip


def evaluate(
    design: Design, at: Forward, centre: Array, scale: float, *, reml: bool
) -> tuple[Array, Array, float, float]:
    """Fixed effects, covariance, sigma and criterion of an evaluation.

    Args:
        design: The design.
        at: The evaluation on the scaled outcome.
        centre: Least-squares coefficients that were taken out.
        scale: What the outcome was divided by.
        reml: Whether the criterion is the restricted one.
    """
    n, p = design.n_rows, design.n_fixed
    m = n - p if reml else n
    sigma = scale * float(np.sqrt(at.rss / m))
    back = np.linalg.inv(design.r)
    beta = back @ (centre + scale * at.beta)
    vcov = sigma**2 * back @ at.x_inverse @ back.T
    criterion = at.log_det + m * (1.0 + LOG_2PI + 2.0 * float(np.log(sigma)))
    criterion -= design.sum_log_weights
    if reml:
        criterion += at.log_det_x + 2.0 * float(np.log(np.abs(np.diag(design.r))).sum())
    return beta, 0.5 * (vcov + vcov.T), sigma, criterion


def _optimum(
    objective: Objective,
    covariance: Covariance,
    *,
    reml: bool,
    start: Array | None = None,
    shared: dict[bytes, Array] | None = None,
) -> tuple[Array, Record, Forward]:
    """Theta at the optimum, how it was found and the evaluation there.

    `shared` keeps the curvature of a common start.
    """
    products = objective.products
    n, p = products.n_rows, products.total.shape[0] - 1
    m, x_weight = (n - p, 1.0) if reml else (n, 0.0)
    last: list[Forward] = []
    last_theta = b""

    def function(theta: Array) -> tuple[float, Array]:
        nonlocal last_theta
        at = objective.forward(covariance.lambdas(theta))
        last[:], last_theta = [at], theta.tobytes()
        value = at.log_det + x_weight * at.log_det_x + m * float(np.log(at.rss / m))
        bars = objective.backward(at, x_weight=x_weight, rss_weight=m / at.rss)
        return value, covariance.gradient(bars)

    usual = np.array(covariance.start)
    if start is None:
        start = usual
    origin = start.tobytes()

    def curvature(theta: Array) -> Array:
        # The expected information does not depend on the outcome.
        if shared is not None and theta.tobytes() == origin:
            if origin not in shared:
                shared[origin] = expected_curvature(objective, covariance, last[0], m)
            return shared[origin]
        return expected_curvature(objective, covariance, last[0], m)

    # One of many outcomes starts near its optimum with a curvature that is known
    # already; fresh ones would pay only where an evaluation costs much more.
    known = shared is not None and objective.layout.core_size < CHEAP_CORE
    theta, value, record = minimise(
        function, start, curvature=curvature, diagonal=covariance.diagonal,
        rounding=1e-13 * n + 1e-10, scoring_steps=0 if known else SCORING_STEPS,
    )  # fmt: skip
    if _may_be_local(covariance, theta):
        # A start of one's own (another outcome's optimum) can lie in the basin of a
        # worse optimum that the usual start is not in.
        others = [f * usual for f in (0.3, 1.0, 3.0) if f != 1.0 or start is not usual]
        for again_from in others:
            other, found, again = minimise(
                function, again_from, curvature=curvature,
                diagonal=covariance.diagonal, rounding=1e-13 * n + 1e-10,
            )  # fmt: skip
            count = record.evaluations + again.evaluations
            if found < value:
                theta, value, record = other, found, again
            record = replace(record, evaluations=count)
    if theta.tobytes() == last_theta:
        return theta, record, last[0]
    return theta, record, objective.forward(covariance.lambdas(theta))


def _may_be_local(covariance: Covariance, theta: Array) -> bool:
    """Whether a correlated term lost rank: such optima need not be the only one."""
    terms = covariance.design.terms
    return any(
        a == b and terms[i].correlated and terms[i].n_columns > 1 and abs(v) < SINGULAR
        for (i, a, b), v in zip(covariance.names, theta, strict=True)
    )


def _at_zero(design: Design, covariance: Covariance, theta: Array) -> tuple[str, ...]:
    """Effects whose own share of a relative covariance is 0 (transformed scale)."""
    found = []
    for (i, a, b), value in zip(covariance.names, theta, strict=True):
        term = design.terms[i]
        if a == b and abs(value) < SINGULAR:
            found.append(f"{term.name}: {term.column_names[a]}")
    return tuple(found)
