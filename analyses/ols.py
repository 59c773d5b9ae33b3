"""Fixed effects alone, by ordinary least squares: arrays in, fit out.

For answers that cannot be linked to a person, or where nobody answered twice.
"""

from __future__ import annotations

import numpy as np
import statsmodels
from statsmodels.regression.linear_model import OLS

from analyses.array_fit import Array, ArrayFit, Component

__all__ = ["fit_ols"]


def fit_ols(y: Array, x: Array) -> ArrayFit:
    """Least squares with t intervals on residual degrees of freedom.

    Args:
        y: Outcome, length n, without gaps.
        x: Fixed-effects matrix, n by p, of full rank, p below n.

    Returns:
        The fit; its one variance is the residual one.

    Examples:
        >>> fit = fit_ols(np.array([1.0, 2.0, 3.0]), np.ones((3, 1)))
        >>> float(fit.beta[0]), fit.residual_df
        (2.0, 2.0)
    """
    fit = OLS(y, x).fit()
    return ArrayFit(
        beta=np.asarray(fit.params, dtype=np.float64),
        covariance=np.asarray(fit.cov_params(), dtype=np.float64),
        df_of=lambda rows: np.full(len(np.atleast_2d(rows)), float(fit.df_resid)),
        df_method="residual",
        residual_df=float(fit.df_resid),
        components=(Component("residual", float(fit.scale), len(y)),),
        log_likelihood=float(fit.llf),
        converged=None,
        is_singular=False,
        engine=f"statsmodels {statsmodels.__version__} OLS",
        notes=(),
    )
