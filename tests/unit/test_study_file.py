"""study.yaml: every mistake at once, each with its line and what to do."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from data_contracts.errors import StudyFileError
from data_contracts.study_file import load_study

GOOD = (
    resources.files("data_contracts.studies")
    .joinpath("new_study.yaml")
    .read_text("utf-8")
)


def problems(folder: Path, text: str) -> list[tuple[int | None, str, str]]:
    (folder / "study.yaml").write_text(text, "utf-8")
    with pytest.raises(StudyFileError) as caught:
        load_study(folder)
    return [(p.line, p.place, str(p)) for p in caught.value.problems]


def line_of(text: str, part: str) -> int:
    return next(i for i, row in enumerate(text.splitlines(), 1) if part in row)


def test_the_template_of_new_study_is_a_valid_study(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(GOOD, "utf-8")
    study = load_study(tmp_path)
    assert study.waves[0].instruments["olbi"].item_columns(16)[15] == "olbi_16"


def test_three_mistakes_of_three_kinds_are_listed_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("minimum_cell: 10", "minimum_cell: 3")  # a value out of range
        .replace("coding: strongly_disagree_is_1", "codnig: agree")  # a typing error
        .replace("scale: phq9.total", "scale: phq9.sum")  # a broken reference
    )
    found = problems(tmp_path, text)
    assert [place for _, place, _ in found] == [
        "instruments.olbi",
        "instruments.olbi.codnig",
        "outcomes[2].scale",
        "policy.minimum_cell",
    ]  # the typing error also leaves OLBI without a coding
    assert {line for line, _, _ in found} == {
        line_of(text, "olbi: {contract"),
        line_of(text, "scale: phq9.sum"),
        line_of(text, "minimum_cell: 3"),
    }
    said = "\n".join(text for _, _, text in found)
    assert "Did you mean 'coding'?" in said
    assert "greater than or equal to 5" in said
    assert "phq9.total" in said


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("id: 2024-25_fall", "id: 2024-25_fall\n    id: x", "waves[0].id", "second"),
        ('["2024-25", "2025-26"]', '["2024-26"]', "academic_years[0]", "2024-25"),
        ('"olbi_{n}"', "olbi", "waves[0].instruments.olbi.items", "{n}"),
        ("kind: pseudonym", "kind: none", "waves[0].columns.key", "key: none"),
        ("contract: phq9", "contract: phq8", "instruments.phq9.contract", "phq9"),
        ("opened: 2024-10-01", "opened: 2024-11-01", "waves[0]", "closes before"),
        ("class_years: [M1", "class_years: [1", "class_years[0]", "quotes"),
        ("lcwaves: 1", "lcwaves: 2", "lcwaves", "expected 1"),
        ("phq9: {contract: phq9}", "phq9: {contract: gad7}", "instruments.phq9",
         "minimum_answered: {total: 7}"),
        ("key: code # the", "# the", "waves[0].columns", "no key"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place_and_what_to_do(
    tmp_path: Path, old: str, new: str, place: str, says: str
) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(p == place and says in text for _, p, text in found), found
    assert all(line is not None for line, _, _ in found)


def test_a_wave_twice_is_refused_with_both_named(tmp_path: Path) -> None:
    wave = GOOD[GOOD.index("  - id: 2024-25_fall") : GOOD.index("# What is analysed")]
    text = GOOD.replace(wave, wave + wave)
    found = problems(tmp_path, text)
    assert [p for _, p, _ in found] == ["waves[1].id"]
    assert found[0][0] == text[: text.rindex("- id: 2024-25_fall")].count("\n") + 1


def test_broken_yaml_names_the_line(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("campuses: [Main]", "campuses: [Main"))
    assert found[0][1] == "syntax"
    assert found[0][0] is not None


def test_a_folder_without_a_study_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match="lcwaves new-study"):
        load_study(tmp_path)


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b", "lcwaves: 1"])
def test_anything_else_is_refused_in_words(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)
