"""Rosters: who was in which community, class year and campus, from when to when.

People move, pause and repeat: a membership is a spell with a first and a last day.
Rows that break a rule go to the roster's own quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from data_contracts.study import Study
from data_contracts.tables import as_declared, empty

__all__ = [
    "ROSTER_RULES",
    "ConformedRosters",
    "RosterSource",
    "communities",
    "conform_rosters",
]

ROSTER_RULES: dict[str, str] = {
    "missing_key": "the key is empty",
    "unknown_community": "the community is not declared",
    "unknown_class_year": "the class year is not declared",
    "unknown_campus": "the campus is not declared",
    "unknown_year": "the academic year is not declared",
    "unreadable_date": "not a date such as 2025-08-01",
    "unreadable_number": "not a number",
    "ends_before_it_starts": "the last day is before the first",
    "overlapping_membership": "the person is in another membership on that day",
    "duplicate_row": "the same key as an earlier row",
}
"""Why a roster row is set aside."""

_WHOLE = ("size", "mentors", "residents", "student_reps", "gatherings", "contacts")


@dataclass(frozen=True)
class RosterSource:
    """A roster file as the door admitted it."""

    name: str
    file: str
    digest: str
    frame: pl.DataFrame


@dataclass(frozen=True)
class ConformedRosters:
    """The rosters as tables in their declared schemas."""

    participant: pl.DataFrame
    membership: pl.DataFrame
    community_year: pl.DataFrame
    quarantine: pl.DataFrame


def communities(study: Study) -> pl.DataFrame:
    """Table ``community``, as the study file declares it."""
    rows = [
        (c.id, c.name, c.type, c.identity_named, c.start, c.end)
        for c in study.communities
    ]
    schema = empty("community").schema
    return as_declared("community", pl.DataFrame(rows, schema=schema, orient="row"))


def conform_rosters(
    study: Study,
    *,
    membership: RosterSource | None,
    participants: RosterSource | None,
    community_years: RosterSource | None,
) -> ConformedRosters:
    """Sort roster rows into accepted tables and quarantine.

    Without a participants roster the people are those of the memberships, their
    role is student and their cohort is not known.

    Args:
        study: The study.
        membership: Spells of people in communities, if there are any.
        participants: People with role, cohort and track, if there are any.
        community_years: Features of communities by year, if there are any.

    Returns:
        Tables ``participant``, ``membership``, ``community_year`` and
        ``roster_quarantine``; those without a source are empty.
    """
    faults = [empty("roster_quarantine")]
    spells, spell_faults = _membership(study, membership)
    people, people_faults = _participants(participants)
    years, year_faults = _community_years(study, community_years)
    faults += [spell_faults, people_faults, year_faults]
    if participants is None and spells.height:
        people = spells.select("participant").unique().with_columns(
            role=pl.lit("student"),
            cohort=pl.lit(None, dtype=pl.String),
            track=pl.lit(None, dtype=pl.String),
        )  # fmt: skip
    return ConformedRosters(
        participant=as_declared("participant", people),
        membership=as_declared("membership", spells),
        community_year=as_declared("community_year", years),
        quarantine=as_declared("roster_quarantine", pl.concat(faults)),
    )


def _texts(source: RosterSource, names: tuple[str, ...]) -> pl.DataFrame:
    """The source's rows with every named column there, empty cells as null."""
    present = [
        pl.when(pl.col(c) == "").then(None).otherwise(pl.col(c)).alias(c)
        for c in names
        if c in source.frame.columns
    ]
    absent = [
        pl.lit(None, dtype=pl.String).alias(c)
        for c in names
        if c not in source.frame.columns
    ]
    return source.frame.select("row_number", *present, *absent)


def _sorted_out(
    source: RosterSource, rows: pl.DataFrame, rules: list[tuple[str, pl.Expr]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that keep all rules, and quarantine rows for the others."""
    judged = rows.with_columns(
        rule=pl.coalesce(
            [pl.when(broken).then(pl.lit(rule)) for rule, broken in rules]
            + [pl.lit(None, dtype=pl.String)]
        )
    )
    bad = judged.filter(pl.col("rule").is_not_null())
    quarantine = bad.select(
        source=pl.lit(source.name),
        file=pl.lit(source.file),
        file_digest=pl.lit(source.digest),
        row_number="row_number",
        column_name=pl.lit(None, dtype=pl.String),
        rule="rule",
        extent=pl.lit("row"),
    )
    return judged.filter(pl.col("rule").is_null()).drop("rule"), quarantine


def _undeclared(column: str, names: list[str]) -> pl.Expr:
    return pl.col(column).is_not_null() & ~pl.col(column).is_in(names)


def _day(column: str) -> pl.Expr:
    return pl.col(column).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def _membership(
    study: Study, source: RosterSource | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    if source is None:
        return empty("membership"), empty("roster_quarantine")
    names = ("participant", "community", "class_year", "campus")
    rows = _texts(source, (*names, "valid_from", "valid_to")).with_columns(
        first=_day("valid_from"), last=_day("valid_to")
    )
    unreadable = pl.col("first").is_null() | (
        pl.col("valid_to").is_not_null() & pl.col("last").is_null()
    )
    good, bad = _sorted_out(
        source,
        rows,
        [
            ("missing_key", pl.col("participant").is_null()),
            ("unknown_community", _undeclared("community", _community_ids(study))),
            ("unknown_class_year", _undeclared("class_year", list(study.class_years))),
            ("unknown_campus", _undeclared("campus", list(study.campuses))),
            ("unreadable_date", unreadable),
            ("ends_before_it_starts", pl.col("last") < pl.col("first")),
        ],
    )
    ordered = good.sort("participant", "first", "row_number").with_columns(
        # A spell without an end lasts; a later one then overlaps it.
        before=pl.col("last")
        .fill_null(pl.date(9999, 12, 31))
        .cum_max()
        .shift(1)
        .over("participant")
    )
    kept, overlapping = _sorted_out(
        source,
        ordered,
        [("overlapping_membership", pl.col("first") <= pl.col("before"))],
    )
    table = kept.select(*names, valid_from="first", valid_to="last")
    return table, pl.concat([bad, overlapping])


def _community_ids(study: Study) -> list[str]:
    return [c.id for c in study.communities]


def _participants(source: RosterSource | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    if source is None:
        return empty("participant"), empty("roster_quarantine")
    names = ("participant", "role", "cohort", "track")
    good, bad = _sorted_out(
        source,
        _texts(source, names),
        [
            ("missing_key", pl.col("participant").is_null()),
            ("duplicate_row", ~pl.col("participant").is_first_distinct()),
        ],
    )
    people = good.select(names).with_columns(role=pl.col("role").fill_null("student"))
    return people, bad


def _community_years(
    study: Study, source: RosterSource | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    if source is None:
        return empty("community_year"), empty("roster_quarantine")
    table = empty("community_year")
    rows = _texts(source, tuple(table.columns))
    numbers = [*_WHOLE, "mentor_fte"]
    parsed = [pl.col(c).cast(pl.Float64, strict=False) for c in numbers]
    unreadable = pl.any_horizontal(
        pl.col(c).is_not_null() & number.is_null()
        for c, number in zip(numbers, parsed, strict=True)
    )
    key = pl.struct("community", "academic_year")
    good, bad = _sorted_out(
        source,
        rows,
        [
            (
                "missing_key",
                pl.col("community").is_null() | pl.col("academic_year").is_null(),
            ),
            ("unknown_community", _undeclared("community", _community_ids(study))),
            (
                "unknown_year",
                _undeclared("academic_year", list(study.academic_years)),
            ),
            ("unreadable_number", unreadable),
            ("duplicate_row", ~key.is_first_distinct()),
        ],
    )
    return good.with_columns(parsed).select(table.columns), bad
