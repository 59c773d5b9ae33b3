"""Reading files: exact rows and row numbers, and clear errors for bad input."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from data_contracts.errors import DataError
from data_contracts.formats import read_file

QUALTRICS = (
    "StartDate,Status,IPAddress,Finished,ResponseId,Q1\n"
    "Start Date,Response Type,IP Address,Finished,Response ID,How are you?\n"
    '"{""ImportId"":""startDate""}","{""ImportId"":""status""}",'
    '"{""ImportId"":""ipAddress""}","{""ImportId"":""finished""}",'
    '"{""ImportId"":""_recordId""}","{""ImportId"":""QID1""}"\n'
    "2024-10-01,0,192.0.2.1,1,R_1,3\n"
    "2024-10-02,1,192.0.2.2,1,R_2,2\n"
    "2024-10-03,IP Address,192.0.2.3,False,R_3,\n"
)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "f.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_qualtrics_three_headers_marks_previews_and_unfinished(tmp_path: Path) -> None:
    rows = read_file(written(tmp_path, "\ufeff" + QUALTRICS), "qualtrics", name="f")
    assert rows.frame.get_column("Q1").to_list() == ["3", "2", ""]
    assert rows.row_numbers.to_list() == [4, 5, 6]
    assert rows.previews.to_list() == [False, True, False]
    assert rows.unfinished.to_list() == [False, False, True]
    assert rows.question_texts["Q1"] == "How are you?"


def test_qualtrics_single_quoted_import_ids_are_recognised(tmp_path: Path) -> None:
    text = QUALTRICS.replace('{""', "{'").replace('"":""', "':'").replace('""}', "'}")
    rows = read_file(written(tmp_path, text), "qualtrics", name="f")
    assert rows.frame.height == 3


def test_a_plain_table_is_not_taken_for_qualtrics(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="format: tabular"):
        read_file(written(tmp_path, "a,b\n1,2\n3,4\n"), "qualtrics", name="f")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separator_is_found_and_line_breaks_in_cells_kept(
    tmp_path: Path, separator: str
) -> None:
    text = separator.join(["a", "b", "c"]) + "\r\n" + separator.join(
        ["1", '"two\nlines"', " 3 "]
    ) + "\r\n\r\n" + separator.join(["4", "5", "6"]) + "\r\n"  # fmt: skip
    rows = read_file(written(tmp_path, text), "tabular", name="f")
    assert rows.frame.rows() == [("1", "two\nlines", "3"), ("4", "5", "6")]


def test_repeated_names_are_kept_apart_not_guessed(tmp_path: Path) -> None:
    rows = read_file(written(tmp_path, "a,b,b\n1,2,3\n"), "tabular", name="f")
    assert rows.frame.columns == ["a"]
    assert rows.repeated == {"b"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty file"),
        (b"\n\n", "empty file"),
        (b"a,b\n", "without rows"),
        (b"a,b\n1,2\n3\n", "row 3: found 1 cells where the header has 2"),
        (b"a,b\n1,2,3\n", "row 2: found 3 cells"),
        ("a,b\nJosé,2\n".encode("latin-1"), "line 2: found bytes that are not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,\x002\n", "line 2: found a NUL byte"),
        (b'a,b\n1,"2"x\n', "not well-formed CSV"),
        (b'a,b\n1,"2\n', "not well-formed CSV"),
    ],
)
def test_bad_files_are_refused_by_place(
    tmp_path: Path, content: bytes, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        read_file(written(tmp_path, content), "tabular", name="raw/w/f.csv")
    assert str(caught.value).startswith("raw/w/f.csv")
    assert "José" not in str(caught.value)


def test_a_missing_file_says_where_it_should_lie(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw/w/f\.csv: found no such file"):
        read_file(tmp_path / "none.csv", "tabular", name="raw/w/f.csv")


SHARED = Path(__file__).resolve().parents[3] / "shared" / "exports" / "qualtrics"
# Rows and columns counted with R's read.csv; legacy V1..V10 with its repeats.
REAL = {
    "long_survey_3header.csv": None,
    "matrix_3header.csv": 5,
    "matrix_legacy_2header.csv": 5,
    "no_basis_3header.csv": 15,
    "sample_german_3header.csv": 1,
    "sample_survey_3header.csv": 5,
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not there")
@pytest.mark.parametrize("name", sorted(REAL))
def test_real_qualtrics_exports_go_through(name: str) -> None:
    rows = read_file(SHARED / name, "qualtrics", name=name)
    with (SHARED / name).open(encoding="utf-8-sig", newline="") as file:
        records = [r for r in csv.reader(file) if r]
    headers = 2 if "legacy" in name else 3
    assert rows.frame.height == len(records) - headers
    assert rows.row_numbers[0] == headers + 1
    if (expected := REAL[name]) is not None:
        assert rows.frame.height == expected
