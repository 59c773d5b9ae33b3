"""The door and the quarantine: every rule, and that nothing is lost or betrayed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.conform import ConformedWave, WaveSource, conform_wave
from data_contracts.door import AdmittedRows, admit_wave
from data_contracts.errors import DataError
from data_contracts.formats import read_file
from data_contracts.study import Study
from data_contracts.tables import TABLES, check_table

SECRET = b"s" * 32
PHQ = ",".join(f"phq_{n}" for n in range(1, 10))
FINE = ",".join("1" * 9)


def study(*, key: str = "pseudonym", **columns: object) -> Study:
    mapped: dict[str, object] = {
        "community": "lc",
        "class_year": "year",
        "recorded_on": "day",
        "covariates": {"sex": "sex", "age": "age"},
        **columns,
    }
    if key != "none":
        mapped["key"] = "code"
    return Study.model_validate(
        {
            "lcwaves": 1,
            "id": "s",
            "title": "s",
            "academic_years": ["2024-25"],
            "class_years": ["M1", "M2"],
            "communities": [{"id": "A", "name": "Ash"}],
            "key": {"kind": key},
            "instruments": {"phq9": {"contract": "phq9"}},
            "covariates": [
                {"id": "sex", "label": "Sex", "levels": ["f", "m"]},
                {"id": "age", "label": "Age", "type": "number"},
            ],
            "waves": [
                {
                    "id": "w",
                    "academic_year": "2024-25",
                    "opened": date(2024, 10, 1),
                    "closed": date(2024, 10, 31),
                    "file": "f.csv",
                    "format": "tabular",
                    "columns": mapped,
                    "instruments": {"phq9": {"items": "phq_{n}"}},
                }
            ],
            "outcomes": [{"id": "o", "scale": "phq9.total", "label": "o"}],
        }
    )


HEADER = f"code,lc,year,day,sex,age,{PHQ}"


def row(
    code: str = "p1",
    *,
    lc: str = "A",
    year: str = "M1",
    day: str = "2024-10-02",
    sex: str = "f",
    age: str = "23",
    items: str = FINE,
) -> str:
    return f"{code},{lc},{year},{day},{sex},{age},{items}"


def admitted(
    folder: Path, rows: list[str], declared: Study, *, header: str = HEADER
) -> AdmittedRows:
    path = folder / "f.csv"
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    file = read_file(path, "tabular", name="raw/w/f.csv")
    return admit_wave(file, declared, declared.waves[0], secret=SECRET)


def conformed(
    folder: Path,
    rows: list[str],
    declared: Study | None = None,
    *,
    people: set[str] | None = None,
    header: str = HEADER,
) -> ConformedWave:
    declared = declared or study()
    came_in = admitted(folder, rows, declared, header=header)
    wave = conform_wave(
        came_in.frame,
        declared,
        wave=declared.waves[0],
        source=WaveSource("raw/w/f.csv", "tabular", "d"),
        people=people,
    )
    for name in ("wave", "response", "covariate", "item_response", "quarantine"):
        frame: pl.DataFrame = getattr(wave, name)
        assert all(f.passed for f in check_table(name, frame)), name
    return wave


def rules(wave: ConformedWave) -> list[tuple[int, str | None, str]]:
    return sorted(wave.quarantine.select("row_number", "column_name", "rule").rows())


def test_good_rows_come_through_typed(tmp_path: Path) -> None:
    wave = conformed(tmp_path, [row("p1"), row("p2", items="0,1,2,3,NA,,1,1,1")])
    assert wave.response.height == 2
    assert wave.quarantine.is_empty()
    assert wave.item_response.height == 9 + 7
    assert wave.response.get_column("recorded_on").to_list() == [date(2024, 10, 2)] * 2
    assert wave.response.schema == TABLES["response"].schema


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (row("", items=FINE), "missing_key"),
        (row("p9", lc="Z"), "unknown_community"),
        (row("p9", year="M9"), "unknown_class_year"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_rule(
    tmp_path: Path, bad: str, rule: str
) -> None:
    wave = conformed(tmp_path, [row("p1"), bad])
    assert rules(wave) == [(3, None, rule)]
    assert wave.response.height == 1


@pytest.mark.parametrize(
    ("bad", "column", "rule"),
    [
        (row("p9", items="7" + FINE[1:]), "phq_1", "unknown_code"),
        (row("p9", items="1.5" + FINE[1:]), "phq_1", "unknown_code"),
        (row("p9", items="often" + FINE[1:]), "phq_1", "unknown_code"),
        (row("p9", items="nan" + FINE[1:]), "phq_1", "unknown_code"),
        (row("p9", items="a@b.org" + FINE[1:]), "phq_1", "identifying_content"),
        (row("p9", sex="x"), "sex", "unknown_level"),
        (row("p9", age="inf"), "age", "unknown_level"),
        (row("p9", day="2024-13-01"), "day", "unreadable_date"),
    ],
)
def test_a_bad_answer_is_set_aside_and_its_row_kept(
    tmp_path: Path, bad: str, column: str, rule: str
) -> None:
    # Fifty good rows: one odd cell does not make its column an identifying one.
    wave = conformed(tmp_path, [*(row(f"p{i}") for i in range(60, 120)), bad])
    assert rules(wave) == [(62, column, rule)]
    assert wave.response.height == 61


def test_duplicates_are_told_from_repeats(tmp_path: Path) -> None:
    wave = conformed(
        tmp_path,
        [row("p1"), row("p1"), row("p2"), row("p2", age="24"), row("p3")],
    )
    assert rules(wave) == [
        (3, None, "exact_repeat"),
        (4, None, "duplicate_person"),
        (5, None, "duplicate_person"),
    ]
    assert wave.response.height == 2


def test_a_row_set_aside_does_not_make_the_good_one_a_duplicate(tmp_path: Path) -> None:
    wave = conformed(tmp_path, [row("p1", lc="Z"), row("p1")])
    assert rules(wave) == [(2, None, "unknown_community")]
    assert wave.response.height == 1


def test_without_keys_repeats_are_counted_and_kept(tmp_path: Path) -> None:
    wave = conformed(tmp_path, [row(), row(), row(age="30")], study(key="none"))
    assert wave.response.height == 3
    assert wave.wave.get_column("exact_repeats").item() == 1


def test_people_outside_the_roster_are_set_aside(tmp_path: Path) -> None:
    known = admitted(tmp_path, [row("p1")], study()).frame.get_column("participant")
    wave = conformed(tmp_path, [row("p1"), row("p2")], people=set(known))
    assert rules(wave) == [(3, None, "unknown_person")]


def test_nothing_is_lost(tmp_path: Path) -> None:
    rows = [row(f"p{i % 30}", lc="AZ"[i % 5 == 0], age=str(i)) for i in range(40)]
    wave = conformed(tmp_path, rows)
    aside = wave.quarantine.filter(pl.col("extent") == "row")
    numbers = [
        *aside.get_column("row_number"),
        *wave.response.get_column("row_number"),
    ]
    assert sorted(numbers) == list(range(2, 42))


def test_labels_instead_of_numbers_refuse_the_wave(tmp_path: Path) -> None:
    labels = ",".join(["Several days"] * 9)
    with pytest.raises(DataError, match="export numeric values"):
        conformed(tmp_path, [row(f"p{i}", items=labels) for i in range(20)])


def test_renamed_columns_are_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"phq_9 \(nearest in the file: PHQ_9\)"):
        conformed(tmp_path, [row()], header=HEADER.replace("phq_9", "PHQ_9"))


def test_a_mapped_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"more than once \(sex\)"):
        conformed(tmp_path, [row()], header=HEADER.replace("age", "sex"))


def test_identifying_columns_stop_at_the_door(tmp_path: Path) -> None:
    header = f"{HEADER},RecipientEmail,Q17,Q18,comment"
    rows = [
        f"{row(f'p{i}')},x{i},ann{i}@example.org,192.0.2.{i},fine" for i in range(9)
    ]
    came_in = admitted(tmp_path, rows, study(), header=header)
    assert {(s.name, s.kind) for s in came_in.stopped} == {
        ("RecipientEmail", "e-mail"),
        ("Q17", "e-mail"),
        ("Q18", "IP address"),
    }
    assert came_in.unmapped == ("comment",)
    stored = came_in.frame.write_csv()
    assert "example.org" not in stored
    assert "192.0.2" not in stored
    assert "p1," not in stored  # the key is hashed


@pytest.mark.parametrize("cell", ["ann@example.org", "192.0.2.7", "205-555-0143"])
def test_a_mapped_column_full_of_identifiers_is_refused_without_quoting_it(
    tmp_path: Path, cell: str
) -> None:
    rows = [row(f"p{i}", sex=cell) for i in range(9)]
    with pytest.raises(DataError, match="column sex: found 9 cells") as caught:
        conformed(tmp_path, rows)
    assert cell not in str(caught.value)


def test_the_same_person_has_the_same_key_only_under_the_same_secret(
    tmp_path: Path,
) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{HEADER}\n{row('p1')}\n", "utf-8")
    file = read_file(path, "tabular", name="f")
    declared = study()
    keys = [
        admit_wave(file, declared, declared.waves[0], secret=s).frame["participant"][0]
        for s in (SECRET, SECRET, b"t" * 32)
    ]
    assert keys[0] == keys[1] != keys[2]
