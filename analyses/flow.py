"""The response flow: from those who could answer to those who are analysed.

Distinct people per wave, in all and by class year, campus and community. Without a
roster the flow begins at "answered": nobody knows who did not.
"""

from __future__ import annotations

import polars as pl

from analyses.frames import ModelFrame, membership_at
from data_contracts.study import Study
from data_contracts.tables import TABLES

__all__ = ["response_flow"]

_STAGES = ("eligible", "answered", "linked", "analysed")
_CELLS = ("class_year", "campus", "community")


def response_flow(
    study: Study, frame: ModelFrame, *, membership: pl.DataFrame
) -> pl.DataFrame:
    """Count people per stage, wave and cell.

    Stages: ``eligible``, members on the day the wave opened (people on leave are
    not); ``answered``; ``linked``, answered and a member on that day (only with a
    roster and a person key); ``analysed``, linked (answered, where nothing can be
    linked) with a score on at least one outcome. Places are those of the model
    frame: of the roster where there is one. Whoever answered without being a member
    is in "all" alone.

    Args:
        study: The study.
        frame: The model frame.
        membership: Table ``membership``; empty where the study has no roster.

    Returns:
        Rows of the table ``response_flow``; a cell that any stage of the wave
        reaches has a row for every stage, zeros included. A wave without responses
        has no rows.
    """
    received = set(frame.rows["wave"].unique().to_list())
    parts = [
        _wave_flow(
            study,
            frame.rows.filter(pl.col("wave") == wave.id),
            members=membership_at(membership, wave.opened),
        ).with_columns(
            pl.lit(frame.analysis_year).alias("analysis_year"),
            pl.lit(wave.id).alias("wave"),
            pl.lit(wave.academic_year).alias("academic_year"),
        )
        for wave in study.waves_up_to(frame.analysis_year)
        if wave.id in received
    ]
    schema = TABLES["response_flow"].schema
    return pl.concat(
        [pl.DataFrame(schema=schema), *(p.select(list(schema)) for p in parts)]
    )


def _wave_flow(
    study: Study, answered: pl.DataFrame, *, members: pl.DataFrame
) -> pl.DataFrame:
    has_score = pl.any_horizontal(pl.col(o.id).is_not_null() for o in study.outcomes)
    stages: dict[str, pl.DataFrame] = {}
    known = answered
    if study.has_roster:
        stages["eligible"] = members.rename({"participant": "student"})
    stages["answered"] = answered
    if study.has_roster and study.key.kind != "none":
        known = answered.filter(
            pl.col("student").is_in(members["participant"].to_list())
        )
        stages["linked"] = known
    stages["analysed"] = known.filter(has_score)
    counted = [
        _people(rows, by=by).with_columns(pl.lit(stage).alias("stage"))
        for stage, rows in stages.items()
        for by in ("all", *_CELLS)
    ]
    flow = pl.concat(counted)
    cells = flow.select("by", "level").unique()
    every = cells.join(pl.DataFrame({"stage": list(stages)}), how="cross")
    order = [
        pl.col("by").cast(pl.Enum(["all", *_CELLS])),
        pl.col("level"),
        pl.col("stage").cast(pl.Enum(_STAGES)),
    ]
    return (
        every.join(flow, on=("by", "level", "stage"), how="left")
        .with_columns(pl.col("n_people").fill_null(0))
        .sort(order)
    )


def _people(rows: pl.DataFrame, *, by: str) -> pl.DataFrame:
    level = pl.lit("all") if by == "all" else pl.col(by)
    return (
        rows.select("student", level.alias("level"))
        .drop_nulls("level")
        .group_by("level")
        .agg(pl.col("student").n_unique().cast(pl.Int64).alias("n_people"))
        .with_columns(pl.lit(by).alias("by"))
        .select("by", "level", "n_people")
    )
