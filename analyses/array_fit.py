"""What every engine behind ``models`` returns: arrays in, this out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "ArrayFit", "Component"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Component:
    """One variance of a fit.

    Attributes:
        group: Grouping factor, ``group | effect`` for a slope, or ``residual``.
        variance: In squared units of the outcome; of a slope, in those per unit.
        n_levels: Levels of the grouping factor; rows for the residual.
        in_total: Whether it counts in the total variance; a slope's own variance
            does not, because its group's averaged one holds it.
        sd_interval: 95% profile interval of the standard deviation; None for an
            averaged variance and where none was found.
    """

    group: str
    variance: float
    n_levels: int
    in_total: bool = True
    sd_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ArrayFit:
    """What an engine says about arrays, without names.

    Attributes:
        beta: Coefficients, length p.
        covariance: Their covariance, p by p, as inference takes it.
        df_of: Degrees of freedom of linear combinations, k by p to length k;
            infinite for a large-sample z.
        df_method: How they were found.
        residual_df: Rows less coefficients.
        components: Variances, the residual last.
        log_likelihood: Of the criterion that was optimised.
        converged: Whether the optimiser said so; None where nothing is iterated.
        is_singular: Whether a variance is at its boundary of 0.
        engine: Software and method.
        notes: Sentences that a reader of the result must know.
    """

    beta: Array
    covariance: Array
    df_of: Callable[[Array], Array]
    df_method: str
    residual_df: float
    components: tuple[Component, ...]
    log_likelihood: float
    converged: bool | None
    is_singular: bool
    engine: str
    notes: tuple[str, ...]
