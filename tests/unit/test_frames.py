"""The model frame: who was where on the day, what joins, what stays a gap."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest

from analyses.frames import FRAME_COLUMNS, ModelFrame, membership_at, model_frame
from data_contracts.errors import DataError, ModelError
from data_contracts.study import Study
from data_contracts.tables import TABLES, empty


def _wave(name: str, year: str, opened: str) -> dict[str, Any]:
    return {
        "id": name,
        "academic_year": year,
        "opened": opened,
        "closed": opened,
        "file": "answers.csv",
        "format": "tabular",
        "columns": {"key": "id"},
        "instruments": {"mood": {"items": ["mood"]}},
    }


def _study(*, roster: bool = True, **changes: object) -> Study:
    settings: dict[str, object] = {
        "lcwaves": 1,
        "id": "small",
        "title": "A small study",
        "academic_years": ["2024-25", "2025-26"],
        "class_years": ["M1", "M2"],
        "campuses": ["main", "coast"],
        "communities": [{"id": c, "name": c} for c in ("B", "A")],
        "key": {"kind": "pseudonym"},
        "instruments": {
            "mood": {
                "measure": {
                    "label": "Mood",
                    "minimum": 0,
                    "maximum": 10,
                    "higher_is": "better",
                }
            }
        },
        "covariates": [
            {"id": "track", "label": "Track", "levels": ["urban", "rural"]},
            {"id": "age", "label": "Age", "type": "number"},
        ],
        "waves": [
            _wave("fall24", "2024-25", "2024-10-01"),
            _wave("spring25", "2024-25", "2025-03-01"),
            _wave("fall25", "2025-26", "2025-10-01"),
        ],
        "outcomes": [{"id": "mood", "scale": "mood.score", "label": "Mood"}],
    }
    if roster:
        settings["rosters"] = {"membership": {"file": "m.csv", "columns": {}}}
    return Study.model_validate(settings | changes)


def _table(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TABLES[name].schema)


def _response(person: str, wave: str, **answered: str | None) -> dict[str, object]:
    year = "2025-26" if wave == "fall25" else "2024-25"
    return {
        "participant": person,
        "wave": wave,
        "academic_year": year,
        "status": "complete",
        "file_digest": "d",
        "row_number": 2,
    } | answered


def _score(person: str, wave: str, value: float | None) -> dict[str, object]:
    return {
        "participant": person,
        "wave": wave,
        "academic_year": "2024-25",
        "scale": "mood.score",
        "value": value,
        "n_answered": 1,
        "n_items": 1,
    }


MEMBERSHIP = _table(
    "membership",
    [
        # p moves to the coast for the second year; q is on leave in spring.
        {
            "participant": "p",
            "community": "A",
            "class_year": "M1",
            "campus": "main",
            "valid_from": date(2024, 8, 1),
            "valid_to": date(2025, 7, 31),
        },
        {
            "participant": "p",
            "community": "A",
            "class_year": "M2",
            "campus": "coast",
            "valid_from": date(2025, 8, 1),
        },
        {
            "participant": "q",
            "community": "B",
            "class_year": "M1",
            "campus": "main",
            "valid_from": date(2024, 10, 1),
            "valid_to": date(2024, 12, 31),
        },
    ],
)
PARTICIPANT = _table(
    "participant",
    [
        {"participant": "p", "role": "student", "cohort": "2024-25"},
        {"participant": "q", "role": "resident", "cohort": "2022-23"},
    ],
)


def _frame(study: Study, year: str = "2025-26", **tables: pl.DataFrame) -> ModelFrame:
    response = _table(
        "response",
        [
            _response("p", "fall24", community="said", class_year="said"),
            _response("p", "fall25"),
            _response("q", "spring25"),
            _response("q", "fall24"),
            _response("stranger", "fall24", community="A", class_year="M1"),
        ],
    )
    score = _table("score", [_score("p", "fall24", 3.5), _score("q", "fall24", None)])
    given = {
        "response": response,
        "score": score,
        "covariate": empty("covariate"),
        "membership": MEMBERSHIP,
        "participant": PARTICIPANT,
    } | tables
    return model_frame(study, analysis_year=year, **given)


def test_columns_are_exactly_the_agreed_ones() -> None:
    assert _frame(_study()).rows.columns == [*FRAME_COLUMNS, "track", "age", "mood"]


@pytest.mark.parametrize(
    ("when", "members"),
    [
        (date(2024, 7, 31), []),
        (date(2024, 8, 1), ["p"]),  # first day included
        (date(2024, 12, 31), ["p", "q"]),  # last day included
        (date(2025, 1, 1), ["p"]),
        (date(2030, 1, 1), ["p"]),  # an open end lasts
    ],
)
def test_members_of_a_day(when: date, members: list[str]) -> None:
    found = membership_at(MEMBERSHIP, when)

    assert sorted(found["participant"].to_list()) == members


def test_two_memberships_on_one_day_are_refused_without_naming_anybody() -> None:
    with pytest.raises(DataError) as refused:
        membership_at(pl.concat([MEMBERSHIP, MEMBERSHIP]), date(2025, 10, 1))

    assert "1 more memberships than members on 2025-10-01" in str(refused.value)


def test_roster_says_where_people_are_on_the_day_the_wave_opened() -> None:
    rows = _frame(_study()).rows.select(
        "student", "wave", "community", "class_year", "campus"
    )

    assert rows.rows() == [
        ("p", "fall24", "A", "M1", "main"),
        ("q", "fall24", "B", "M1", "main"),
        ("stranger", "fall24", None, None, None),  # in no roster: a gap, not a guess
        ("q", "spring25", None, None, None),  # on leave
        ("p", "fall25", "A", "M2", "coast"),
    ]


def test_without_a_roster_people_are_where_they_say() -> None:
    frame = _frame(
        _study(roster=False),
        membership=empty("membership"),
        participant=empty("participant"),
    )

    stranger = frame.rows.filter(pl.col("student") == "stranger")
    assert stranger.select("community", "class_year", "cohort", "time").rows() == [
        ("A", "M1", None, None)
    ]
    assert set(frame.rows["role"]) == {"student"}


def test_time_is_years_since_entry_with_half_years() -> None:
    rows = _frame(_study()).rows

    assert dict(
        zip(rows["student"] + "@" + rows["wave"], rows["time"], strict=True)
    ) == {
        "p@fall24": 0.0,
        "p@fall25": 1.0,
        "q@fall24": 2.0,
        "q@spring25": 2.5,
        "stranger@fall24": None,
    }


def test_an_earlier_year_sees_no_later_wave() -> None:
    frame = _frame(_study(), "2024-25")

    assert set(frame.rows["wave"]) == {"fall24", "spring25"}
    assert frame.analysis_year == "2024-25"


def test_a_year_before_the_first_wave_is_refused() -> None:
    with pytest.raises(ModelError, match="no wave up to the academic year 2023-24"):
        _frame(_study(), "2023-24")


def test_covariates_and_scores_join_by_person_and_wave() -> None:
    covariate = _table(
        "covariate",
        [
            {"participant": "p", "wave": "fall24", "covariate": c, "text_value": v}
            for c, v in (("track", "rural"), ("age", "23.5"))
        ],
    )

    rows = _frame(_study(), covariate=covariate).rows

    assert rows.select("track", "age", "mood").row(0) == ("rural", 23.5, 3.5)
    assert rows.select("track", "age", "mood").row(4) == (None, None, None)


def test_a_number_that_is_none_is_refused_without_showing_it() -> None:
    answer: dict[str, object] = {
        "participant": "p",
        "wave": "fall24",
        "covariate": "age",
    }
    covariate = _table("covariate", [answer | {"text_value": "forty"}])

    with pytest.raises(DataError, match="age has 1 values that are no") as refused:
        _frame(_study(), covariate=covariate)

    assert "forty" not in str(refused.value)


def test_levels_keep_the_declared_order() -> None:
    levels = _frame(_study()).levels

    assert levels["community"] == ("B", "A")
    assert levels["campus"] == ("main", "coast")
    assert levels["cohort"] == ("2022-23", "2024-25")
    assert levels["track"] == ("urban", "rural")
    assert "age" not in levels


def test_rows_do_not_depend_on_the_order_of_the_tables() -> None:
    turned = _frame(_study(), membership=MEMBERSHIP.reverse())

    assert turned.rows.equals(_frame(_study()).rows)


def test_a_declared_subset_keeps_its_rows() -> None:
    frame = _frame(_study()).only({"community": ("A",)})

    assert frame.rows["student"].to_list() == ["p", "p"]


@pytest.mark.parametrize(
    ("only", "reason"),
    [
        ({"time": ("1",)}, "no categorical column"),
        ({"community": ("Z",)}, "leaves no row"),
    ],
)
def test_a_subset_that_means_nothing_is_refused(
    only: dict[str, tuple[str, ...]], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        _frame(_study()).only(only)


def test_without_a_key_nobody_is_linked() -> None:
    assert _frame(_study()).is_linked
    assert not _frame(_study(key={"kind": "none"})).is_linked
