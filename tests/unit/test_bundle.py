"""Drafts, publishing, ledger and figure files: whole or not at all."""

from __future__ import annotations

import csv
import json
import stat
import time
from pathlib import Path

import polars as pl
import pytest
from plotly.offline import get_plotlyjs

from data_contracts.errors import DataError, DisclosureError, MachineError
from reports import bundle, export
from reports.bundle import preview_png, promote_draft, write_draft
from reports.disclosure import Release, release
from reports.export import NO_BROWSER, Drawing, export_figures, find_browser
from reports.figures import FigureSet, build_figures
from tests.unit import year_results as example

YEAR = example.YEAR
PROVENANCE = example.provenance()


@pytest.fixture(scope="module")
def shown() -> Release:
    return release(example.with_small_cell(1), example.study())


@pytest.fixture(scope="module")
def study_folder(shown: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study folder with a draft and what was published of it; only read."""
    folder = tmp_path_factory.mktemp("study")
    write_draft(folder, shown, PROVENANCE, figures="none")
    promote_draft(folder, YEAR, figures="none")
    return folder


@pytest.fixture(scope="module")
def built(shown: Release) -> FigureSet:
    return build_figures(shown)


@pytest.fixture
def quick(built: FigureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles with a small page, where the page is not what is tested."""
    monkeypatch.setattr(bundle, "build_figures", lambda _: built)
    monkeypatch.setattr(bundle, "render_page", lambda *_, **__: "<p>exhaustion</p>")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_draft_holds_page_numbers_tables_and_provenance(study_folder: Path) -> None:
    files = contents(study_folder / "drafts" / YEAR)
    tables = {n for n in files if n.startswith("tables/")}
    assert {"index.html", "release.json", "provenance.json", "bundle.json"} == (
        set(files) - tables
    )
    assert "tables/estimate.csv" in tables
    assert "tables/held_back.csv" in tables
    assert not list((study_folder / "drafts").glob(".*"))


def test_the_same_release_gives_the_same_draft(
    shown: Release, study_folder: Path, tmp_path: Path
) -> None:
    write_draft(tmp_path, shown, PROVENANCE, figures="none")
    assert contents(tmp_path / "drafts") == contents(study_folder / "drafts")


def test_a_cell_of_one_person_is_in_no_file(study_folder: Path) -> None:
    for name, data in contents(study_folder).items():
        text = data.decode()
        if name.endswith("index.html"):
            assert "3.777" not in text.replace(str(get_plotlyjs()), "")
        else:
            assert "3.777" not in text, name
        assert not any(f"House {c.upper()}" in text for c in example.COMMUNITIES)


def test_publishing_shows_the_draft_without_its_marks(study_folder: Path) -> None:
    draft = contents(study_folder / "drafts" / YEAR)
    public = contents(study_folder / "published" / YEAR)
    assert public["release.json"] == draft["release.json"]
    assert b'class="watermark"' in draft["index.html"]
    assert b'class="watermark"' not in public["index.html"]
    places = [study_folder / kind / YEAR for kind in ("drafts", "published")]
    assert len({(p / "release.json").stat().st_ino for p in places}) == 2


def test_the_ledger_is_private_and_has_one_line(
    shown: Release, study_folder: Path
) -> None:
    folder = study_folder / "ledger" / "public"
    file = folder / "ledger.jsonl"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (entry,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert entry["analysis_year"] == YEAR
    assert entry["manifest_digest"] == PROVENANCE.manifest_digest
    assert entry["released_rows"] == shown.n_rows


def test_the_same_digest_again_does_nothing(study_folder: Path) -> None:
    before = contents(study_folder)
    again = promote_draft(study_folder, YEAR, figures="none")
    assert again.already
    assert "published already" in again.message
    assert contents(study_folder) == before


@pytest.mark.parametrize("name", ["release.json", "index.html", "tables/fit.csv"])
@pytest.mark.usefixtures("quick")
def test_a_draft_that_was_changed_is_not_published(
    shown: Release, tmp_path: Path, name: str
) -> None:
    write_draft(tmp_path, shown, PROVENANCE, figures="none")
    path = tmp_path / "drafts" / YEAR / name
    path.write_text(path.read_text().replace("exhaustion", "happiness", 1))
    with pytest.raises(DisclosureError, match="changed since it was made"):
        promote_draft(tmp_path, YEAR, figures="none")
    assert not (tmp_path / "published").exists()
    assert not (tmp_path / "ledger").exists()


def test_a_year_without_a_draft_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lcwaves run --year 2019-20"):
        promote_draft(tmp_path, "2019-20")
    with pytest.raises(DataError, match="not an academic year"):
        promote_draft(tmp_path, "../../etc")


@pytest.mark.usefixtures("quick")
def test_a_full_disk_leaves_the_earlier_draft(
    shown: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_draft(tmp_path, shown, PROVENANCE, figures="none")
    before = contents(tmp_path)

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_csv", full)
    with pytest.raises(MachineError, match="No space left on device"):
        write_draft(tmp_path, shown, PROVENANCE, figures="none")
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("quick")
def test_a_place_that_cannot_be_written_is_said_plainly(
    shown: Release, tmp_path: Path
) -> None:
    (tmp_path / "drafts").write_text("a file where the folder should be")
    with pytest.raises(MachineError, match="Check that the folder may be written to"):
        write_draft(tmp_path, shown, PROVENANCE, figures="none")


@pytest.mark.usefixtures("quick")
def test_a_failed_ledger_publishes_nothing(shown: Release, tmp_path: Path) -> None:
    write_draft(tmp_path, shown, PROVENANCE, figures="none")
    (tmp_path / "ledger").write_text("a file where the folder should be")
    with pytest.raises(MachineError):
        promote_draft(tmp_path, YEAR, figures="none")
    assert not (tmp_path / "published" / YEAR).exists()


@pytest.mark.usefixtures("quick")
def test_a_table_is_no_formula(tmp_path: Path) -> None:
    # A note can hold any text.
    base = example.year_results()
    formulas = [f"{sign}HYPERLINK(1)" for sign in "=+-@"]
    fit = base.fit.with_columns(pl.Series("note", formulas))
    shown = release(example.replaced(base, fit=fit), example.study())
    draft = write_draft(tmp_path, shown, PROVENANCE, figures="none")
    with (draft.folder / "tables" / "fit.csv").open(newline="") as file:
        notes = {row["note"] for row in csv.DictReader(file)}
    assert notes == {f"'{formula}" for formula in formulas}


FIGURE = {
    "data": [{"type": "scatter", "x": [1, 2], "y": [1, 2]}],
    "layout": {"width": 300, "height": 200},
}
needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium is installed here"
)


@needs_browser
def test_figures_become_files_that_are_the_same_each_time(tmp_path: Path) -> None:
    names = ("a.png", "a.svg")
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    drawings = [
        Drawing(FIGURE, tmp_path / folder / name)
        for folder in ("one", "two")
        for name in names
    ]
    exported = export_figures(drawings)
    assert exported.note is None
    assert len(exported.files) == 4
    assert (tmp_path / "one" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "one" / "a.svg").read_text()
    for name in names:
        one, two = (tmp_path / f / name for f in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@needs_browser
def test_a_draft_has_figure_files_and_a_preview(
    shown: Release,
    built: FigureSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two figures stand for all: the rest differs in nothing but its lines.
    monkeypatch.setattr(FigureSet, "all", property(lambda s: (s.hero, s.study[0])))
    monkeypatch.setattr(bundle, "build_figures", lambda _: built)
    draft = write_draft(tmp_path, shown, PROVENANCE)
    assert draft.note is None
    assert {p.name for p in draft.figure_files} == {
        "preview.png",
        "exhaustion-by-academic-year.png",
        "exhaustion-by-academic-year.svg",
        "response-flow.png",
        "response-flow.svg",
    }
    svg = (draft.folder / "figures" / "response-flow.svg").read_text()
    assert "DRAFT" in svg
    picture = preview_png(draft.folder)
    assert picture is not None
    assert int.from_bytes(picture[16:20], "big") == 700  # width in the PNG header


@pytest.mark.usefixtures("quick")
def test_without_a_browser_all_else_is_written(
    shown: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    draft = write_draft(tmp_path, shown, PROVENANCE)
    assert draft.note == NO_BROWSER
    assert "Install Chromium or Google Chrome" in NO_BROWSER
    assert draft.page.is_file()
    assert preview_png(draft.folder) is None


def test_a_browser_that_hangs_never_hangs_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = tmp_path / "chromium"
    stuck.write_text("#!/bin/sh\nexec sleep 600\n")
    stuck.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(stuck))
    started = time.monotonic()
    exported = export_figures([Drawing(FIGURE, tmp_path / "a.svg")], timeout=3)
    assert time.monotonic() - started < 15
    assert exported.files == ()
    assert exported.note is not None
    assert "did not finish within 3 seconds" in exported.note


def test_a_chosen_browser_that_is_missing_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    assert export.find_browser() is None
