"""The command as a person meets it: words, exit codes, no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from assets import notebooks
from data_contracts.errors import DataError
from pipelines.cli import main
from tests.pipeline.conftest import YEAR, Demo

COMMAND = Path(sys.executable).with_name("lcwaves")
ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command in this process; exit code and all that it printed."""
    code = 0
    try:
        main([str(a) for a in arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_help_names_every_verb_and_answers_quickly() -> None:
    done = subprocess.run(
        [COMMAND, "--help"], capture_output=True, text=True, check=True
    )
    for verb in ("demo", "run", "release", "check", "status", "new-study",
                 "new-notebook", "notebook", "ui"):  # fmt: skip
        assert re.search(rf"^  {verb} ", done.stdout, re.MULTILINE), verb
    # Nothing heavy is imported before a verb is chosen.
    heavy = "('dagster', 'pandas', 'plotly', 'duckdb', 'statsmodels')"
    ask = f"print([m for m in {heavy} if m in sys.modules])"
    lazily = subprocess.run(
        [sys.executable, "-c", f"import sys, pipelines.cli; {ask}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert lazily.stdout.strip() == "[]"


def test_a_new_study_passes_its_own_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run("new-study", tmp_path / "mine", capsys=capsys)
    assert code == 0
    code, said = run("check", "--study", tmp_path / "mine", capsys=capsys)
    assert code == 0, said
    assert "no file yet" in said
    code, said = run("new-study", tmp_path / "mine", capsys=capsys)
    assert code == 4
    assert "Nothing was changed" in said


def test_three_mistakes_end_with_the_study_files_code_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("new-study", tmp_path, capsys=capsys)
    path = tmp_path / "study.yaml"
    text = path.read_text("utf-8")
    path.write_text(
        text.replace("minimum_cell: 10", "minimum_cell: 2")
        .replace("format: tabular", "format: excel")
        .replace('reference: "2024-25"', 'reference: "2019-20"'),
        "utf-8",
    )  # fmt: skip
    for verb in (["check"], ["run", "--year", "2025-26"], ["status"]):
        code, said = run(verb[0], "--study", tmp_path, *verb[1:], capsys=capsys)
        assert code == 3
        assert "3 mistakes" in said
        assert "Traceback" not in said
        assert len(re.findall(r"line \d+, ", said)) == 3


def test_check_finds_what_a_run_would_and_keeps_nothing(
    demo: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in demo.folder.rglob("*")}
    code, said = run("check", "--study", demo.folder, capsys=capsys)
    assert code == 0, said
    assert "duplicate_person: 2" in said
    assert {p: p.stat().st_mtime_ns for p in demo.folder.rglob("*")} == before


def test_status_names_what_is_stale(
    demo_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run("status", "--study", demo_copy, capsys=capsys)
    assert code == 0
    assert "stale" not in said
    wave = next((demo_copy / "raw" / "2021-22_spring").glob("*.csv"))
    wave.write_text(wave.read_text("utf-8") + "\n", "utf-8")
    _, said = run("status", "--study", demo_copy, capsys=capsys)
    row = next(x for x in said.splitlines() if "2021-22_spring" in x)
    assert "stale" in row
    assert said.count("stale") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run"], 2, "Missing option '--year'"),
        (["dance"], 2, "No such command"),
        (["run", "--study", "{demo}", "--year", "1999-00"], 4, "no academic year"),
        (["release", "--study", "{demo}", "--year", "2021-22"], 4, "draft"),
        (["notebook", "none", "--study", "{demo}", "--year", YEAR], 4, "first_look"),
        (["check", "--study", "{demo}/raw"], 3, "lcwaves new-study"),
        (["new-notebook", "!!!"], 4, "found no title"),
        (["new-notebook", "First look"], 4, "found a notebook of that name"),
    ],
)
def test_wrong_use_is_answered_in_words(
    demo: Demo,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    filled = [a.replace("{demo}", str(demo.folder)) for a in arguments]
    got, said = run(*filled, capsys=capsys)
    assert (got, says in said, "Traceback" in said) == (code, True, False), said


def test_releasing_the_same_draft_again_changes_nothing(
    demo_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = demo_copy / "published" / YEAR
    ledger = demo_copy / "ledger" / "public" / "ledger.jsonl"
    before = (ledger.read_bytes(), (folder / "index.html").read_bytes())
    code, said = run(
        "release", "--study", demo_copy, "--year", YEAR, "--no-figures", capsys=capsys
    )
    assert code == 0, said
    assert (ledger.read_bytes(), (folder / "index.html").read_bytes()) == before
    assert ledger.stat().st_mode & 0o777 == 0o600


def test_a_mistake_of_ours_quotes_no_data(
    demo_copy: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("participant P00042 answered 3")

    monkeypatch.setattr("assets.core.conform_wave", broken)
    code, said = run(
        "run", "--study", demo_copy, "--year", YEAR, "--everything", capsys=capsys
    )
    assert code == 4
    assert "ValueError in test_cli.py" in said
    assert "P00042" not in said
    for path in (demo_copy / ".dagster").rglob("*"):
        assert not path.is_file() or b"P00042" not in path.read_bytes()


def test_a_new_notebook_runs_and_its_page_stays_private_and_offline(
    demo_copy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(notebooks, "FOLDER", folder)
    code, said = run("new-notebook", 'Do "years": differ?', capsys=capsys)
    assert code == 0, said
    script = folder / "do_years_differ.py"
    page = notebooks.run_notebook(script, study=demo_copy, year=YEAR)
    html = page.read_text("utf-8")
    assert "Internal: made from unreleased data" in html
    assert "dreem.academic" in html
    assert not re.findall(r"<script[^>]+src=", html)
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.parent.stat().st_mode & 0o777 == 0o700
    assert page.is_relative_to(demo_copy)
    assert "outputs" not in script.read_text("utf-8")


def test_a_failing_notebook_names_its_cell_and_quotes_nothing(
    demo_copy: Path, tmp_path: Path
) -> None:
    script = tmp_path / "bad.py"
    script.write_text("# %%\n1 + 1\n\n# %%\nraise KeyError('P00042 answered 3')\n")
    with pytest.raises(DataError, match=r"code cell 2 of 2") as caught:
        notebooks.run_notebook(script, study=demo_copy, year=YEAR)
    assert "KeyError" in str(caught.value)
    assert "P00042" not in str(caught.value)


def test_example_notebook_is_an_asset_and_runs(
    demo_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(
        "notebook", "first_look", "--study", demo_copy, "--year", "2022-23",
        capsys=capsys,
    )  # fmt: skip
    assert code == 0, said
    page = notebooks.notebook_page(demo_copy, "first_look", year="2022-23")
    html = page.read_text("utf-8")
    assert "2022-23_spring" in html
    assert "2023-24_fall" not in html  # only the waves up to the year


@pytest.mark.parametrize(
    "command",
    [
        ["dagster", "definitions", "validate", "-w", "workspace.yaml"],
        ["dg", "check", "defs"],
    ],
)
def test_dagster_opens_the_code_location_without_a_study(
    command: list[str], tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name(command[0])
    done = subprocess.run(
        [program, *command[1:]],
        cwd=ROOT,
        env={
            **os.environ,
            "LCWAVES_STUDY": str(tmp_path / "none"),
            "DAGSTER_HOME": str(tmp_path),
            "VIRTUAL_ENV": str(Path(sys.executable).parent.parent),
        },
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
