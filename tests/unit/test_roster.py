"""Rosters: spells of people, what is set aside, and that nothing is lost."""

from __future__ import annotations

from datetime import date
from importlib import resources

import polars as pl
import pytest
import yaml

from data_contracts.roster import RosterSource, communities, conform_rosters
from data_contracts.study import Study
from data_contracts.tables import check_table

DEMO = Study.model_validate(
    yaml.safe_load(
        resources.files("data_contracts.studies")
        .joinpath("demo_study.yaml")
        .read_text("utf-8")
    )
)
FIRST = DEMO.communities[0].id
MAIN = DEMO.campuses[0]


def spells(*rows: tuple[str | None, ...]) -> RosterSource:
    columns = ("participant", "community", "class_year", "campus", "valid_from",
               "valid_to")  # fmt: skip
    frame = pl.DataFrame(
        [(i, *r) for i, r in enumerate(rows, start=2)],
        schema={"row_number": pl.Int64, **dict.fromkeys(columns, pl.String)},
        orient="row",
    )
    return RosterSource("membership", "raw/rosters/m.csv", "d", frame)


def read(source: RosterSource) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    tables = conform_rosters(
        DEMO, membership=source, participants=None, community_years=None
    )
    for name in ("participant", "membership", "community_year"):
        assert all(f.passed for f in check_table(name, getattr(tables, name)))
    aside = tables.quarantine.select("row_number", "rule").rows()
    assert len(aside) + tables.membership.height == source.frame.height
    return tables.membership, sorted(aside)


def spell(
    start: str = "2021-08-01", end: str | None = "2022-07-31", **other: str
) -> tuple[str | None, ...]:
    values = {"participant": "p", "community": FIRST, "class_year": "M1",
              "campus": MAIN, **other}  # fmt: skip
    return (*values.values(), start, end)


def test_spells_follow_one_another_and_may_pause() -> None:
    table, aside = read(
        spells(spell(), spell("2022-08-01", "2023-07-31"), spell("2024-08-01", ""))
    )
    assert aside == []
    assert table.get_column("valid_to").to_list() == [
        date(2022, 7, 31), date(2023, 7, 31), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (spell("2022-07-31", None), "overlapping_membership"),
        (spell("2022-08-01", "2022-07-01"), "ends_before_it_starts"),
        (spell("1/8/2022"), "unreadable_date"),
        (spell("2022-08-01", "soon"), "unreadable_date"),
        (spell("2022-08-01", None, community="Nowhere"), "unknown_community"),
        (spell("2022-08-01", None, class_year="M9"), "unknown_class_year"),
        (spell("2022-08-01", None, campus="Moon"), "unknown_campus"),
    ],
)
def test_a_bad_spell_is_set_aside(bad: tuple[str | None, ...], rule: str) -> None:
    table, aside = read(spells(spell(), bad))
    assert aside == [(3, rule)]
    assert table.height == 1


def test_a_spell_without_end_overlaps_every_later_one() -> None:
    _, aside = read(spells(spell(end=None), spell("2024-08-01", None)))
    assert aside == [(3, "overlapping_membership")]


def test_people_come_from_the_spells_where_no_other_roster_names_them() -> None:
    tables = conform_rosters(
        DEMO, membership=spells(spell()), participants=None, community_years=None
    )
    assert tables.participant.rows() == [("p", "student", None, None)]


def test_communities_are_those_of_the_study_file() -> None:
    table = communities(DEMO)
    assert table.height == 11
    assert all(f.passed for f in check_table("community", table))
