"""A second opinion: statsmodels' MixedLM beside the project's own engine.

MixedLM can express students within communities; on that form of a model the two
must agree. It gives no small-sample inference, so only estimates are compared.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
from threadpoolctl import threadpool_limits

from analyses.array_fit import Array
from analyses.design import Design, build_design
from analyses.formula import parse_formula
from analyses.frames import ModelFrame
from analyses.lmm.design import RandomTerm
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import fit_arrays
from analyses.lmm_columns import grouping
from data_contracts.errors import ModelError
from data_contracts.study import Study

__all__ = ["COST_LIMIT", "CrossCheck", "crosscheck", "crosscheck_study"]

COST_LIMIT = 1.0e9
"""Sum over communities of rows times students squared that MixedLM takes in about
ten seconds on the two-core machine."""

CLOSE, NOT_WORSE = 0.05, 1e-3


@dataclass(frozen=True)
class CrossCheck:
    """How far two programs are apart on one model.

    Attributes:
        model: What was compared, or why nothing was.
        compared: Whether the two were compared.
        largest_difference: Of a fixed effect, in its standard errors.
        criterion_difference: Our criterion less theirs; ours should not be higher.
    """

    model: str
    compared: bool
    largest_difference: float = 0.0
    criterion_difference: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether the two agree, or could not be compared."""
        return self.largest_difference < CLOSE and self.criterion_difference < NOT_WORSE


def crosscheck_study(study: Study, frame: ModelFrame) -> CrossCheck:
    """Compare the two on the first model and outcome that they share.

    Args:
        study: The study.
        frame: Its model frame.

    Returns:
        The comparison, or why none was possible.
    """
    why = "the study declares no model"
    for model in study.models:
        spec = parse_formula(model.formula)
        groups = {t.group_name for t in spec.random}
        if not {"student", "community"} <= groups:
            why = "no model has both students and communities"
            continue
        for outcome in model.outcomes:
            try:
                design = build_design(spec, frame.only(model.only), outcome=outcome)
                return crosscheck(design)
            except (ModelError, LmmError) as error:
                why = str(error)
    return CrossCheck(f"not compared: {why}", compared=False)


def crosscheck(design: Design) -> CrossCheck:
    """Fit random intercepts of students within communities with both programs.

    A person who changes community counts as two, in both.

    Args:
        design: Complete rows, coded.

    Returns:
        The comparison.
    """
    name = f"{design.outcome} ~ {design.spec.fixed} + (1 | community / student)"
    community = grouping(design.rows, ["community"]).codes
    student = grouping(design.rows, ["community", "student"]).codes
    if _cost(community, student) > COST_LIMIT:
        return CrossCheck(f"not compared: {name} is too large for it", compared=False)
    one = np.ones((len(design.y), 1))
    ours = fit_arrays(
        design.y,
        design.x,
        [
            RandomTerm("student", student, int(student.max()) + 1, one),
            RandomTerm("community", community, int(community.max()) + 1, one),
        ],
    )
    beta, criterion = _statsmodels(design.y, design.x, community, student)
    return CrossCheck(
        name,
        compared=True,
        largest_difference=float(np.max(np.abs(ours.beta - beta) / ours.std_errors)),
        criterion_difference=float(ours.criterion - criterion),
    )


def _cost(community: NDArray[np.int64], student: NDArray[np.int64]) -> float:
    rows = np.bincount(community).astype(float)
    pairs = np.unique(np.column_stack([community, student]), axis=0)
    return float((rows * np.bincount(pairs[:, 0]).astype(float) ** 2).sum())


def _statsmodels(
    y: Array, x: Array, community: NDArray[np.int64], student: NDArray[np.int64]
) -> tuple[Array, float]:
    """Fixed effects and REML criterion by MixedLM."""
    indicators: list[Array] = []
    names: list[list[str]] = []
    for group in range(int(community.max()) + 1):
        codes = np.unique(student[community == group], return_inverse=True)[1]
        columns = np.eye(int(codes.max()) + 1)[codes]
        indicators.append(columns)
        names.append([str(i) for i in range(columns.shape[1])])
    # In standard units the optimiser's tolerances mean the same for every scale.
    scale = float(y.std())
    model = MixedLM(
        y / scale,
        x,
        groups=community,
        exog_re=np.ones((len(y), 1)),
        exog_vc=VCSpec(["student"], [names], [indicators]),
    )
    # Its matrices are small: with more threads they wait for one another.
    with (
        threadpool_limits(1),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        # A variance near 0 makes it warn; what it found is judged by the comparison.
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True, method="lbfgs")
    criterion = -2.0 * float(fit.llf) + 2.0 * (len(y) - x.shape[1]) * np.log(scale)
    return np.asarray(fit.fe_params, dtype=np.float64) * scale, float(criterion)
