"""From stored tables to the model frame: the only adapter between the two.

One row per person and wave. Whoever was in which community, class year and campus
is decided here, on the day the wave opened; nothing is modelled and nothing that a
model needs is dropped here (rows with gaps stay, and models count them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from data_contracts.errors import DataError, ModelError
from data_contracts.study import Study

__all__ = ["FRAME_COLUMNS", "ModelFrame", "membership_at", "model_frame"]

FRAME_COLUMNS = (
    "student",
    "community",
    "cohort",
    "class_year",
    "academic_year",
    "wave",
    "time",
    "campus",
    "role",
)
"""Columns that every model frame has, in order; covariates and outcomes follow."""

_PLACE = ("community", "class_year", "campus")
_DEFAULT_ROLE = "student"


@dataclass(frozen=True)
class ModelFrame:
    """What models see of a study, as of one academic year.

    Attributes:
        analysis_year: Academic year as of which it was made.
        rows: One row per person and wave: ``FRAME_COLUMNS``, the declared
            covariates, one column per outcome. Gaps are null.
        levels: Levels of every categorical column in declared order; the first one
            present is the reference.
        outcomes: Outcome columns, in declared order.
        is_linked: Whether a person is the same ``student`` in all waves.
    """

    analysis_year: str
    rows: pl.DataFrame
    levels: Mapping[str, tuple[str, ...]]
    outcomes: tuple[str, ...]
    is_linked: bool

    def only(self, levels: Mapping[str, tuple[str, ...]]) -> ModelFrame:
        """The frame with the rows of a declared subset.

        Args:
            levels: Levels to keep, by categorical column.

        Raises:
            ModelError: If a column is not categorical, or no row is left.
        """
        rows = self.rows
        for name, kept in levels.items():
            if name not in self.levels:
                raise ModelError(
                    f"The declared subset names {name!r}, which is no categorical "
                    f"column of the model frame; expected one of "
                    f"{', '.join(self.levels)}."
                )
            rows = rows.filter(pl.col(name).is_in(kept))
            if rows.is_empty():
                raise ModelError(
                    f"The declared subset of {name} leaves no row; name levels that "
                    "the data have."
                )
        return ModelFrame(
            self.analysis_year, rows, self.levels, self.outcomes, self.is_linked
        )


def membership_at(membership: pl.DataFrame, when: date) -> pl.DataFrame:
    """Who was where on a day: one row per member.

    A membership holds from its first to its last day, both included; an open end
    lasts. People on leave have a gap between memberships and are not members.

    Args:
        membership: Table ``membership``.
        when: The day.

    Returns:
        The columns participant, community, class_year and campus.

    Raises:
        DataError: If somebody has two memberships on that day.

    Examples:
        >>> roster = pl.DataFrame(
        ...     {
        ...         "participant": ["p", "p"],
        ...         "community": ["A", "B"],
        ...         "class_year": ["M1", "M2"],
        ...         "campus": ["main", "main"],
        ...         "valid_from": [date(2024, 8, 1), date(2025, 8, 1)],
        ...         "valid_to": [date(2025, 7, 31), None],
        ...     }
        ... )
        >>> membership_at(roster, date(2025, 10, 1))["community"].to_list()
        ['B']
    """
    current = membership.filter(
        (pl.col("valid_from") <= when)
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= when))
    )
    twice = current.height - current["participant"].n_unique()
    if twice:
        raise DataError(
            f"The membership roster has {twice} more memberships than members on "
            f"{when.isoformat()}; expected one per person and day. End a membership "
            "on the day before the next one begins."
        )
    return current.select("participant", *_PLACE)


def model_frame(
    study: Study,
    *,
    analysis_year: str,
    response: pl.DataFrame,
    score: pl.DataFrame,
    covariate: pl.DataFrame,
    membership: pl.DataFrame,
    participant: pl.DataFrame,
) -> ModelFrame:
    """Join the stored tables to the frame that models see.

    Community, class year and campus come from the membership roster on the day the
    wave opened, where the study has one; otherwise as the response says. ``time``
    is years since entry: academic year minus cohort, and half a year more for waves
    that open from 1 January on; null where no roster gives the cohort. ``role`` is
    ``student`` where no roster gives another.

    Args:
        study: The study.
        analysis_year: Waves up to this academic year are used.
        response: Table ``response``; one row of the frame for each of its rows.
        score: Table ``score``.
        covariate: Table ``covariate``.
        membership: Table ``membership``; empty where the study has no roster.
        participant: Table ``participant``; empty where the study has no roster.

    Returns:
        The frame, ordered by wave and person.

    Raises:
        ModelError: If no wave is that early.
        DataError: If somebody has two memberships on the day a wave opened, or a
            numeric covariate holds something else.
    """
    ids = [w.id for w in study.waves_up_to(analysis_year)]
    if not ids:
        raise ModelError(
            f"The study has no wave up to the academic year {analysis_year}; expected "
            f"a year from {min(w.academic_year for w in study.waves)} on."
        )
    rows = response.filter(pl.col("wave").is_in(ids)).select(
        "participant", "wave", "academic_year", *_PLACE
    )
    if study.has_roster:
        rows = rows.drop(_PLACE).join(
            _places(study, membership=membership, analysis_year=analysis_year),
            on=("participant", "wave"),
            how="left",
        )
    rows = rows.join(
        participant.select("participant", "cohort", "role"),
        on="participant",
        how="left",
    ).with_columns(pl.col("role").fill_null(_DEFAULT_ROLE))
    rows = rows.join(_half_years(study, analysis_year), on="wave", how="left")
    rows = rows.with_columns(_years_since_entry().alias("time"))
    for declared in study.covariates:
        values = covariate.filter(pl.col("covariate") == declared.id).select(
            "participant", "wave", pl.col("text_value").alias(declared.id)
        )
        if declared.type == "number":
            values = _numbers(values, declared.id)
        rows = rows.join(values, on=("participant", "wave"), how="left")
    for outcome in study.outcomes:
        values = score.filter(pl.col("scale") == outcome.scale).select(
            "participant", "wave", pl.col("value").alias(outcome.id)
        )
        rows = rows.join(values, on=("participant", "wave"), how="left")
    outcomes = tuple(o.id for o in study.outcomes)
    order = pl.col("wave").cast(pl.Enum(ids))
    frame = (
        rows.rename({"participant": "student"})
        .sort(order, "student")
        .select(*FRAME_COLUMNS, *(c.id for c in study.covariates), *outcomes)
    )
    return ModelFrame(
        analysis_year=analysis_year,
        rows=frame,
        levels=_levels(study, frame),
        outcomes=outcomes,
        is_linked=study.key.kind != "none",
    )


def _places(
    study: Study, *, membership: pl.DataFrame, analysis_year: str
) -> pl.DataFrame:
    return pl.concat(
        membership_at(membership, w.opened).with_columns(pl.lit(w.id).alias("wave"))
        for w in study.waves_up_to(analysis_year)
    )


def _numbers(values: pl.DataFrame, name: str) -> pl.DataFrame:
    # Not a strict cast: its error would print the answer.
    cast = values.with_columns(pl.col(name).cast(pl.Float64, strict=False))
    lost = cast[name].null_count() - values[name].null_count()
    if lost:
        raise DataError(
            f"The covariate {name} has {lost} values that are no numbers; expected "
            "numbers. Declare it as a category, or mend the files."
        )
    return cast


def _half_years(study: Study, analysis_year: str) -> pl.DataFrame:
    """Half a year for waves that open in the calendar year after the year's start."""
    waves = study.waves_up_to(analysis_year)
    later = [w.opened >= date(int(w.academic_year[:4]) + 1, 1, 1) for w in waves]
    return pl.DataFrame(
        {"wave": [w.id for w in waves], "half_year": [0.5 * f for f in later]},
        schema={"wave": pl.String, "half_year": pl.Float64},
    )


def _years_since_entry() -> pl.Expr:
    year = pl.col("academic_year").str.slice(0, 4).cast(pl.Int64, strict=False)
    entry = pl.col("cohort").str.slice(0, 4).cast(pl.Int64, strict=False)
    return (year - entry).cast(pl.Float64) + pl.col("half_year")


def _levels(study: Study, frame: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Declared order where the study declares one, else the order of the text."""
    declared: dict[str, tuple[str, ...]] = {
        "community": tuple(c.id for c in study.communities),
        "cohort": (),
        "class_year": study.class_years,
        "academic_year": study.academic_years,
        "wave": tuple(w.id for w in study.waves),
        "campus": study.campuses,
        "role": (),
    }
    found = {
        name: levels or tuple(sorted(frame[name].drop_nulls().unique().to_list()))
        for name, levels in declared.items()
    }
    categories = {c.id: c.levels for c in study.covariates if c.type == "category"}
    return found | categories
