"""What was observed, before any model: means of cells and distributions.

Gaps are left out cell by cell; people are counted, not rows.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log10

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyses.contrasts import half_width
from analyses.frames import ModelFrame
from data_contracts.errors import InternalError
from data_contracts.study import Study
from data_contracts.tables import TABLES

__all__ = ["OBSERVED", "bin_edges", "distribution", "observed_means"]

OBSERVED = "observed"
"""Stands in the column ``model`` where no model was fitted."""

_MARGINS = (("academic_year",), ("class_year",), ("academic_year", "class_year"))
_BINS_WANTED = 12


def observed_means(frame: ModelFrame) -> pl.DataFrame:
    """Observed means by academic year, by class year and by both.

    The standard error is robust to repeated answers: with deviations from the
    cell's mean summed within each of G people, it is the root of
    G / (G - 1) times the sum of their squares, over the number of answers. Intervals
    take t with G - 1 df. Where nobody can be linked, everybody is one answer and this
    is the usual standard error. A cell of one person has no interval.

    Args:
        frame: The model frame, not reduced to any model's complete rows.

    Returns:
        Rows of the table ``estimate``, quantity ``observed_mean``.
    """
    parts = [
        _cell_means(frame, outcome=outcome, margin=margin)
        for outcome in frame.outcomes
        for margin in _MARGINS
    ]
    return pl.concat(parts)


def _cell_means(
    frame: ModelFrame, *, outcome: str, margin: tuple[str, ...]
) -> pl.DataFrame:
    rows = frame.rows.drop_nulls([outcome, *margin])
    deviation = pl.col(outcome) - pl.col(outcome).mean().over(margin)
    people = (
        rows.with_columns(deviation.alias("deviation"))
        .group_by(*margin, "student")
        .agg(pl.col("deviation").sum().pow(2).alias("squared"))
        .group_by(margin)
        .agg(pl.len().alias("n_people"), pl.col("squared").sum())
    )
    order = [pl.col(c).cast(pl.Enum(frame.levels[c])) for c in margin]
    cells = (
        rows.group_by(margin)
        .agg(
            pl.col(outcome).mean().alias("estimate"),
            pl.len().alias("n_answers"),
            pl.col("community").drop_nulls().n_unique().alias("n_communities"),
        )
        .join(people, on=margin)
        .sort(*order)
    )
    g = pl.col("n_people")
    robust = (g / (g - 1) * pl.col("squared")).sqrt() / pl.col("n_answers")
    cells = cells.with_columns(
        pl.when(g > 1).then(robust).alias("std_error"),
        pl.when(g > 1).then((g - 1).cast(pl.Float64)).alias("df"),
    )
    halves = pl.Series(
        "half",
        [
            None if error is None else half_width(error, df)
            for error, df in cells.select("std_error", "df").iter_rows()
        ],
        dtype=pl.Float64,
    )
    named = cells.with_columns(
        halves,
        pl.lit(frame.analysis_year).alias("analysis_year"),
        pl.lit(outcome).alias("outcome"),
        pl.lit(OBSERVED).alias("model"),
        pl.lit("observed_mean").alias("quantity"),
        pl.lit(":".join(margin)).alias("by"),
        pl.concat_str(margin, separator=" : ").alias("level"),
        pl.when(g > 1).then(pl.lit("people minus 1")).alias("df_method"),
        pl.lit(None, dtype=pl.Float64).alias("statistic"),
        pl.lit(None, dtype=pl.Float64).alias("p_value"),
    ).with_columns(
        (pl.col("estimate") - pl.col("half")).alias("conf_low"),
        (pl.col("estimate") + pl.col("half")).alias("conf_high"),
    )
    schema = TABLES["estimate"].schema
    return named.select(pl.col(c).cast(dtype) for c, dtype in schema.items())


def distribution(study: Study, frame: ModelFrame) -> pl.DataFrame:
    """People per bin of each outcome and academic year.

    Bins span the scale's whole range, so that the picture does not depend on the
    answers. A person counts once per bin and academic year. Empty bins have rows.

    Args:
        study: The study, for the range of each scale.
        frame: The model frame.

    Returns:
        Rows of the table ``distribution``.

    Raises:
        InternalError: If a score lies outside its scale's range.
    """
    parts = [
        _binned(frame, outcome=o.id, edges=_scale_edges(study, o.scale))
        for o in study.outcomes
    ]
    return pl.concat(parts)


def _scale_edges(study: Study, scale: str) -> NDArray[np.float64]:
    low, high = study.scale_range(scale)
    return bin_edges(low, high, whole=study.scale(scale).combine == "sum")


def bin_edges(low: float, high: float, *, whole: bool) -> NDArray[np.float64]:
    """Edges of about twelve bins of one round width over a range.

    The last bin is shorter where the width does not divide the range.

    Args:
        low: Lowest possible value.
        high: Highest possible value.
        whole: Whether the width must be a whole number, as for sums.

    Examples:
        >>> bin_edges(1.0, 4.0, whole=False)[:3].tolist()
        [1.0, 1.25, 1.5]
        >>> bin_edges(0.0, 27.0, whole=True)[-3:].tolist()
        [24.0, 26.0, 27.0]
    """
    span = high - low
    power = 10.0 ** np.floor(log10(span / _BINS_WANTED))
    steps = (1.0, 2.0, 3.0, 4.0, 5.0) if whole else (1.0, 2.0, 2.5, 5.0)
    widths = [s * power * ten for ten in (1.0, 10.0) for s in steps]
    if whole:
        widths = [w for w in widths if w >= 1.0 and w == round(w)] or [1.0]
    width = min(widths, key=lambda w: abs(ceil(round(span / w, 9)) - _BINS_WANTED))
    count = ceil(round(span / width, 9))
    edges = low + width * np.arange(count + 1)
    edges[-1] = high
    return np.asarray(np.round(edges, 9), dtype=np.float64)


def _binned(
    frame: ModelFrame, *, outcome: str, edges: NDArray[np.float64]
) -> pl.DataFrame:
    rows = frame.rows.select("student", "academic_year", outcome).drop_nulls()
    # Nine decimals: a mean of thirds that equals an edge falls into the upper bin.
    values = np.round(rows[outcome].to_numpy(), 9)
    outside = int(((values < edges[0]) | (values > edges[-1])).sum())
    if outside:
        raise InternalError(f"{outside} scores of {outcome} lie outside its range.")
    found = np.searchsorted(edges, values, side="right") - 1
    people = (
        rows.with_columns(
            pl.Series("bin", np.minimum(found, len(edges) - 2), dtype=pl.Int64)
        )
        .group_by("academic_year", "bin")
        .agg(pl.col("student").n_unique().cast(pl.Int64).alias("n_people"))
    )
    years = rows.select("academic_year").unique().sort("academic_year")
    bins = pl.DataFrame(
        [(i, low, high) for i, (low, high) in enumerate(pairwise(edges.tolist()))],
        schema={"bin": pl.Int64, "bin_low": pl.Float64, "bin_high": pl.Float64},
        orient="row",
    )
    return (
        years.join(bins, how="cross")
        .join(people, on=("academic_year", "bin"), how="left")
        .sort("academic_year", "bin")
        .select(
            pl.lit(frame.analysis_year).alias("analysis_year"),
            pl.lit(outcome).alias("outcome"),
            "academic_year",
            "bin_low",
            "bin_high",
            pl.col("n_people").fill_null(0),
        )
    )
