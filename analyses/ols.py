"""Fixed effects alone, by ordinary least squares: arrays in, fit out.

For answers that cannot be linked to a person, or where nobody answered twice.
``ArrayFit`` is what every engine behind ``models`` returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import statsmodels
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS

__all__ = ["ArrayFit", "Component", "fit_ols"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Component:
    """One variance of a fit.

    Attributes:
        group: Grouping factor, or ``residual``.
        variance: In squared units of the outcome.
        n_levels: Levels of the grouping factor; rows for the residual.
    """

    group: str
    variance: float
    n_levels: int


@dataclass(frozen=True)
class ArrayFit:
    """What an engine says about arrays, without names.

    Attributes:
        beta: Coefficients, length p.
        covariance: Their covariance, p by p.
        df: Degrees of freedom; infinite for a large-sample z.
        df_method: How they were found.
        components: Variances, the residual last.
        log_likelihood: Of the criterion that was optimised.
        converged: Whether the optimiser said so; None where nothing is iterated.
        is_singular: Whether a variance is at its boundary of 0.
        engine: Software and method.
        notes: Sentences that a reader of the result must know.
    """

    beta: Array
    covariance: Array
    df: float
    df_method: str
    components: tuple[Component, ...]
    log_likelihood: float
    converged: bool | None
    is_singular: bool
    engine: str
    notes: tuple[str, ...]


def fit_ols(y: Array, x: Array) -> ArrayFit:
    """Least squares with t intervals on residual degrees of freedom.

    Args:
        y: Outcome, length n, without gaps.
        x: Fixed-effects matrix, n by p, of full rank, p below n.

    Returns:
        The fit; its one variance is the residual one.

    Examples:
        >>> fit = fit_ols(np.array([1.0, 2.0, 3.0]), np.ones((3, 1)))
        >>> float(fit.beta[0]), fit.df
        (2.0, 2.0)
    """
    fit = OLS(y, x).fit()
    return ArrayFit(
        beta=np.asarray(fit.params, dtype=np.float64),
        covariance=np.asarray(fit.cov_params(), dtype=np.float64),
        df=float(fit.df_resid),
        df_method="residual",
        components=(Component("residual", float(fit.scale), len(y)),),
        log_likelihood=float(fit.llf),
        converged=None,
        is_singular=False,
        engine=f"statsmodels {statsmodels.__version__} OLS",
        notes=(),
    )
