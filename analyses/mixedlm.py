"""Students within communities by statsmodels MixedLM: arrays in, fit out.

MixedLM finds the variances. What it leaves to chance is done here in closed form
on group sums (no n by n matrix): where to start, whether a variance that stopped
near 0 is 0, and the fixed effects with their covariance at those variances, which
MixedLM takes from a numerical Hessian that fails on the boundary.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import statsmodels
from numpy.typing import NDArray
from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams, VCSpec

from analyses.ols import ArrayFit, Component

__all__ = ["COST_LIMIT", "NestedVariance", "fit_mixedlm"]

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

COST_LIMIT = 1.0e9
"""Sum over communities of rows times students squared up to which MixedLM takes
both variances at once: about 10 s on the two-core machine (STAR, 24,260 rows and
80 schools, is 0.7e9)."""

_METHODS = ("lbfgs", "cg", "powell")
_START_STUDENT = (0.03, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5, 5.0)
_START_COMMUNITY = (0.001, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 1.0)
_NOT_WORSE = 1e-7


@dataclass(frozen=True)
class NestedVariance:
    """Restricted likelihood of y = X b + student + community + e, by group sums.

    Every student code lies in one community code, so that the covariance matrix
    inverts in closed form, block in block. Variances are relative to the residual.

    Attributes:
        y: Outcome, length n.
        x: Fixed-effects matrix, n by p.
        student: Student codes from 0, length n.
        community: Community codes from 0, length n.
    """

    y: Array
    x: Array
    student: Codes
    community: Codes

    @cached_property
    def _data(self) -> Array:
        return np.column_stack([self.x, self.y])

    @cached_property
    def _products(self) -> Array:
        return np.asarray(self._data.T @ self._data)

    @cached_property
    def _student_sums(self) -> Array:
        return _group_sums(self._data, self.student)

    @cached_property
    def _student_sizes(self) -> Array:
        return np.bincount(self.student).astype(np.float64)

    @cached_property
    def _student_community(self) -> Codes:
        community = np.empty(len(self._student_sizes), dtype=np.int64)
        community[self.student] = self.community
        return community

    def _blocks(self, student: float, community: float) -> tuple[Array, float]:
        """[X y]' V^-1 [X y] and log det V, at relative variances."""
        shrink = 1.0 / (1.0 + student * self._student_sizes)
        sums = self._student_sums
        products = self._products - (sums.T * (student * shrink)) @ sums
        within = _group_sums(sums * shrink[:, None], self._student_community)
        size = np.bincount(
            self._student_community, weights=self._student_sizes * shrink
        )
        grown = 1.0 + community * size
        products = products - (within.T * (community / grown)) @ within
        return products, float(-np.log(shrink).sum() + np.log(grown).sum())

    def solve(
        self, student: float, community: float
    ) -> tuple[Array, Array, float, float]:
        """Fixed effects at given relative variances.

        Returns:
            Coefficients, their covariance, the residual variance and the REML
            criterion (minus twice the restricted log-likelihood).
        """
        products, log_det = self._blocks(student, community)
        n, p = self.x.shape
        information = products[:p, :p]
        beta = np.asarray(np.linalg.solve(information, products[:p, p]), np.float64)
        residual_df = n - p
        rest = float(products[p, p] - products[:p, p] @ beta)
        sigma2 = max(rest, np.finfo(float).tiny) / residual_df
        criterion = (
            residual_df * (1.0 + float(np.log(2.0 * np.pi * sigma2)))
            + log_det
            + float(np.linalg.slogdet(information)[1])
        )
        covariance: Array = sigma2 * np.linalg.inv(information)
        return beta, covariance, sigma2, criterion

    def criterion(self, student: float, community: float) -> float:
        """REML criterion at given relative variances."""
        return self.solve(student, community)[3]


def fit_mixedlm(
    y: Array,
    x: Array,
    *,
    student: Codes | None,
    community: Codes | None,
    cost_limit: float = COST_LIMIT,
) -> ArrayFit:
    """Fit random intercepts of students, of communities, or of both, by REML.

    With both, students are a variance component within communities: somebody who
    changes community counts as two students, and the note says how many do. Beyond
    the cost limit the student variance is fitted alone and the community variance
    is a moment estimate; the fixed effects are then weighted by both. Tests and
    intervals are large-sample z: too liberal for anything that differs between few
    communities.

    Args:
        y: Outcome, length n, without gaps.
        x: Fixed-effects matrix, n by p, of full rank, p below n.
        student: Student codes, length n; None to leave the intercept out.
        community: Community codes, length n; None to leave the intercept out.
        cost_limit: Largest sum over communities of rows times students squared.

    Returns:
        The fit.

    Raises:
        ValueError: If neither grouping factor is given.
    """
    notes: list[str] = []
    # What X explains leaves the likelihood as it is; without it sums keep digits.
    plain = np.linalg.lstsq(x, y, rcond=None)[0]
    left = y - x @ plain
    unit = float(left.std())
    nested, n_moved = _nested(left / unit, x, student=student, community=community)
    by_moments = False
    if student is not None and community is not None:
        if n_moved:
            notes.append(
                f"{n_moved} students changed community and count as one student in "
                "each."
            )
        by_moments = _cost(nested) > cost_limit
    alone = (
        NestedVariance(nested.y, nested.x, nested.student, nested.student)
        if by_moments
        else nested
    )
    student_ratio, community_ratio, converged = _relative_variances(
        alone,
        with_student=student is not None,
        with_community=community is not None and not by_moments,
        notes=notes,
    )
    if by_moments:
        student_ratio, community_ratio = _moments(nested, total=student_ratio)
        notes.append(
            "Community variance by moments (DerSimonian and Laird's estimator on the "
            "communities' mean residuals), since the joint fit would be too slow; "
            "fixed effects are weighted by both variances."
        )
    beta, covariance, sigma2, criterion = nested.solve(student_ratio, community_ratio)
    scale = unit**2
    n, p = x.shape
    components = [
        Component(name, ratio * sigma2 * scale, int(codes.max()) + 1)
        for name, ratio, codes, given in (
            ("student", student_ratio, nested.student, student),
            ("community", community_ratio, nested.community, community),
        )
        if given is not None
    ]
    zero = [c.group for c in components if c.variance == 0.0]
    if zero:
        notes.append(
            f"The {' and the '.join(zero)} variance is estimated as 0 (singular fit): "
            "normal with few groups, and no proof that there is none."
        )
    return ArrayFit(
        beta=plain + beta * unit,
        covariance=covariance * scale,
        df=float("inf"),
        df_method="z (large sample)",
        components=(*components, Component("residual", sigma2 * scale, n)),
        log_likelihood=-0.5 * criterion - (n - p) * float(np.log(unit)),
        converged=converged,
        is_singular=bool(zero),
        engine=f"statsmodels {statsmodels.__version__} MixedLM, REML, large-sample z",
        notes=tuple(notes),
    )


def _group_sums(data: Array, codes: Codes) -> Array:
    sums = np.zeros((int(codes.max()) + 1, data.shape[1]))
    np.add.at(sums, codes, data)
    return sums


def _dense(codes: Codes) -> Codes:
    return np.unique(codes, return_inverse=True)[1].astype(np.int64).reshape(-1)


def _nested(
    y: Array, x: Array, *, student: Codes | None, community: Codes | None
) -> tuple[NestedVariance, int]:
    """Codes with every student in one community, and how many students were split."""
    if student is None and community is not None:
        return NestedVariance(y, x, np.arange(len(y)), _dense(community)), 0
    if student is None:
        raise ValueError("a mixed model needs a grouping factor")
    if community is None:
        codes = _dense(student)
        return NestedVariance(y, x, codes, codes), 0
    people, groups = _dense(student), _dense(community)
    pairs = np.unique(people * (int(groups.max()) + 1) + groups)
    places = np.bincount(pairs // (int(groups.max()) + 1))
    split = _dense(people * (int(groups.max()) + 1) + groups)
    return NestedVariance(y, x, split, groups), int((places > 1).sum())


def _cost(nested: NestedVariance) -> float:
    rows = np.bincount(nested.community).astype(float)
    pairs = np.unique(np.column_stack([nested.community, nested.student]), axis=0)
    students = np.bincount(pairs[:, 0]).astype(float)
    return float((rows * students**2).sum())


def _relative_variances(
    nested: NestedVariance,
    *,
    with_student: bool,
    with_community: bool,
    notes: list[str],
) -> tuple[float, float, bool]:
    """Variances relative to the residual one, and whether an optimiser converged."""
    start = min(
        product(
            _START_STUDENT if with_student else (0.0,),
            _START_COMMUNITY if with_community else (0.0,),
        ),
        key=lambda ratios: nested.criterion(*ratios),
    )
    found, converged = start, False
    for method in _METHODS:
        ratios, converged = _optimise(
            nested, start=found, method=method, with_student=with_student
        )
        if nested.criterion(*ratios) < nested.criterion(*found):
            found = ratios
        if converged:
            break
    if not converged:
        notes.append(
            f"The optimisers {', '.join(_METHODS)} stopped before convergence; these "
            "are the best values that they found. Try a simpler model."
        )
    # The criterion decides what is 0: optimisers only come near it.
    for candidate in ((0.0, 0.0), (found[0], 0.0), (0.0, found[1])):
        if nested.criterion(*candidate) <= nested.criterion(*found) + _NOT_WORSE:
            return *candidate, converged
    return *found, converged


def _optimise(
    nested: NestedVariance,
    *,
    start: tuple[float, float],
    method: str,
    with_student: bool,
) -> tuple[tuple[float, float], bool]:
    n, p = nested.x.shape
    both = with_student and start[1] > 0.0
    groups = nested.student if with_student and not both else nested.community
    model = MixedLM(
        nested.y,
        nested.x,
        groups=groups,
        exog_re=np.ones((n, 1)),
        exog_vc=_students_within(nested) if both else None,
    )
    # The numerical Hessian fails at a variance of 0, and nothing here uses it.
    model.hessian = lambda params: (-np.eye(len(params.fe_params) + 1 + both), False)
    outer = start[1] if start[1] > 0.0 else start[0]
    params = MixedLMParams.from_components(
        np.zeros(p),
        cov_re=np.array([[outer]]),
        vcomp=np.array([start[0]]) if both else np.zeros(0),
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Convergence and boundary are judged by our own criterion.
        warnings.simplefilter("ignore")
        try:
            fit = model.fit(start_params=params, reml=True, method=method)
        except np.linalg.LinAlgError:
            return start, False
    ratio = float(fit.cov_re_unscaled[0, 0])
    if both:
        return (float(fit.vcomp[0] / fit.scale), ratio), bool(fit.converged)
    return ((ratio, 0.0) if with_student else (0.0, ratio)), bool(fit.converged)


def _students_within(nested: NestedVariance) -> VCSpec:
    names: list[list[str]] = []
    matrices: list[Array] = []
    for community in range(int(nested.community.max()) + 1):
        codes = _dense(nested.student[nested.community == community])
        indicator = np.zeros((len(codes), int(codes.max()) + 1))
        indicator[np.arange(len(codes)), codes] = 1.0
        matrices.append(indicator)
        names.append([str(i) for i in range(indicator.shape[1])])
    return VCSpec(["student"], [names], [matrices])


def _moments(nested: NestedVariance, *, total: float) -> tuple[float, float]:
    """Split a total between-student ratio into student and community ratios."""
    beta, _, sigma2, _ = nested.solve(total, 0.0)
    residual = nested.y - nested.x @ beta
    shrink = 1.0 / (1.0 + total * np.bincount(nested.student))
    weight = np.bincount(nested.community, weights=shrink[nested.student])
    mean = (
        np.bincount(nested.community, weights=(shrink[nested.student] * residual))
        / weight
    )
    precision = weight / sigma2
    centre = float((precision * mean).sum() / precision.sum())
    q = float((precision * (mean - centre) ** 2).sum())
    divisor = float(precision.sum() - (precision**2).sum() / precision.sum())
    variance = max(0.0, (q - (len(mean) - 1)) / divisor) if divisor > 0.0 else 0.0
    community = min(variance / sigma2, total)
    return total - community, community
