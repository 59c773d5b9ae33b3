"""The results of one analysis year: frozen rows between models and release gate.

Every row carries the people behind it, so that the gate can judge it. Nothing here
is drawn; nothing after here computes a statistic.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

__all__ = ["YearResults"]


@dataclass(frozen=True)
class YearResults:
    """Result tables as of one academic year, unrounded and not yet released.

    The frames up to ``wave`` follow the declarations of ``data_contracts.tables``.

    Attributes:
        analysis_year: Academic year as of which the study was analysed.
        estimate: Observed means, marginal means and coefficients.
        contrast: Differences between marginal means.
        variance_component: Variances of the fitted models.
        fit: One record per fitted model and outcome.
        refusal: Models that could not be fitted, and why.
        distribution: People per bin of each outcome and academic year.
        response_flow: People per stage, wave and cell.
        wave: The waves used, as received (table ``wave``).
        set_aside: Quarantined rows and answers, with the columns source, rule,
            extent and n_rows.
    """

    analysis_year: str
    estimate: pl.DataFrame
    contrast: pl.DataFrame
    variance_component: pl.DataFrame
    fit: pl.DataFrame
    refusal: pl.DataFrame
    distribution: pl.DataFrame
    response_flow: pl.DataFrame
    wave: pl.DataFrame
    set_aside: pl.DataFrame
