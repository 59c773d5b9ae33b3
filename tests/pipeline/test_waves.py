"""One wave at a time: new versions, faults, and everything else untouched."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from data_contracts.errors import DataError, MachineError
from data_contracts.study import raw_file
from pipelines import open_study
from pipelines.freshness import wave_freshness
from pipelines.runs import StudyRun
from pipelines.store import StudyStore
from tests.pipeline.conftest import YEAR

TIDY = "2021-22_spring"
"""A wave that is a plain CSV."""

Opened = Callable[[], StudyRun]


def edit(run: StudyRun, wave: str, change: Callable[[str], str]) -> None:
    path = raw_file(run.place.folder, run.place.study.waves_by_id[wave])
    path.write_text(change(path.read_text("utf-8")), "utf-8")


def versions(store: StudyStore) -> dict[tuple[str, str], str]:
    return {(e.table, e.partition): e.digest for e in store.manifest.entries}


def test_the_same_input_again_gives_the_same_bytes(opened: Opened) -> None:
    run = opened()
    before = run.store.manifest.to_bytes()
    files = sorted((run.store.root / "score").rglob("*.parquet"))
    run.wave(TIDY)
    assert run.store.manifest.to_bytes() == before
    assert sorted((run.store.root / "score").rglob("*.parquet")) == files


def test_a_corrected_file_makes_a_new_version_of_that_wave_alone(
    opened: Opened,
) -> None:
    run = opened()
    before = versions(run.store)
    pinned = run.store.pin_year([w.id for w in run.place.study.waves])
    edit(run, TIDY, lambda text: "\n".join(text.splitlines()[:-1]) + "\n")
    fresh = wave_freshness(run.place, run.store, run.place.study.waves_by_id[TIDY])
    assert fresh.reasons == ("the file changed",)
    run.wave(TIDY)
    after = versions(run.store)
    changed = {key for key in after if after[key] != before.get(key)}
    assert {partition for _, partition in changed} == {TIDY}
    assert ("score", TIDY) in changed
    old = run.store.read_pinned("score", [TIDY], pinned.digest)
    new = run.store.read("score", [TIDY])
    assert old is not None
    assert new is not None
    assert old["participant"].n_unique() == new["participant"].n_unique() + 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t[:0], "empty file"),
        (lambda t: t.replace("olbi_3", "OLBI3", 1), "(nearest in the file: OLBI3)"),
        (lambda t: t.replace(",", ",,", 1), "cells where the header has"),
    ],
)
def test_a_bad_file_stops_its_wave_and_leaves_the_others(
    opened: Opened, change: Callable[[str], str], says: str
) -> None:
    run = opened()
    before = run.store.manifest.to_bytes()
    published = run.store.database.read_bytes()
    draft = (run.place.folder / "drafts" / YEAR / "index.html").read_bytes()
    edit(run, TIDY, change)
    with pytest.raises(DataError) as caught:
        run.year(YEAR)
    assert says in str(caught.value)
    assert "1 wave failed" in str(caught.value)
    assert run.store.manifest.to_bytes() == before
    assert run.store.database.read_bytes() == published
    assert (run.place.folder / "drafts" / YEAR / "index.html").read_bytes() == draft


def test_wrong_encoding_names_the_line_and_quotes_nothing(opened: Opened) -> None:
    run = opened()
    path = raw_file(run.place.folder, run.place.study.waves_by_id[TIDY])
    path.write_bytes(path.read_bytes() + "Müller,x\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8") as caught:
        run.wave(TIDY)
    assert "ller" not in str(caught.value)


def test_a_wave_twice_is_refused(opened: Opened) -> None:
    run = opened()
    waves = run.place.study.waves_by_id
    other = next(w for w in waves.values() if w.format == "tabular" and w.id != TIDY)
    shutil.copy(
        raw_file(run.place.folder, waves[TIDY]), raw_file(run.place.folder, other)
    )
    with pytest.raises(DataError, match=f"the very file of wave {TIDY}"):
        run.wave(other.id)


def test_a_wave_taken_out_of_the_study_leaves_the_tables_but_not_the_disk(
    demo_copy: Path,
) -> None:
    last = "2024-25_spring"
    path = demo_copy / "study.yaml"
    text = path.read_text("utf-8")
    start = text.index(f"  - id: {last}")
    end = text.index("\noutcomes:")
    path.write_text(text[:start] + text[end:], "utf-8")
    files = sorted((demo_copy / "store" / "score" / last).glob("*.parquet"))
    assert files
    run = StudyRun(demo_copy, figures="none")
    try:
        run.year(YEAR)
    finally:
        run.close()
    with open_study(demo_copy) as study:
        assert last not in study.table("wave").get_column("wave").to_list()
        assert last not in study.table("score").get_column("wave").to_list()
    assert sorted((demo_copy / "store" / "score" / last).glob("*.parquet")) == files


def test_a_wave_whose_file_is_gone_is_used_as_stored(opened: Opened) -> None:
    run = opened()
    before = run.store.manifest.entry("score", TIDY)
    raw_file(run.place.folder, run.place.study.waves_by_id[TIDY]).unlink()
    done = run.year(YEAR)
    assert (done.missing, done.refreshed) == ((), ())
    assert run.store.manifest.entry("score", TIDY) == before


def test_nothing_is_done_again_when_nothing_changed(opened: Opened) -> None:
    done = opened().year(YEAR)
    assert (done.refreshed, done.analysed) == ((), False)


def test_an_earlier_year_uses_the_waves_up_to_it(opened: Opened) -> None:
    run = opened()
    done = run.year("2022-23")
    assert done.analysed
    with open_study(run.place.folder, year="2022-23") as study:
        waves = study.table("wave").get_column("wave").to_list()
        assert len(waves) == 4
        analysed = study.table("fit").get_column("n_answers").to_list()
        seen = study.table("score").get_column("wave").n_unique()
    assert seen == 4
    assert 1_500 < max(analysed) < 2_300


def test_readers_work_while_the_file_is_swapped(demo_copy: Path) -> None:
    store = StudyStore(demo_copy)
    errors: list[Exception] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                with open_study(demo_copy) as study:
                    assert study.table("score").height > 10_000
            except Exception as error:  # noqa: BLE001 whatever a reader meets
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(4):
            store.publish()
    finally:
        stop.set()
        reader.join()
    assert errors == []


def test_readers_cannot_write(demo_copy: Path) -> None:
    before = (demo_copy / "study.duckdb").read_bytes()
    with open_study(demo_copy) as study, pytest.raises(DataError, match="read-only"):
        study.sql("DELETE FROM study.score")
    with pytest.raises(DataError, match="found no table 'scores'"):
        open_study(demo_copy).table("scores")
    assert (demo_copy / "study.duckdb").read_bytes() == before


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from data_contracts.errors import MachineError
from pipelines.store import StudyStore
# A file may not grow beyond this: what a full disk does to a writer.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    StudyStore(Path(sys.argv[1])).publish()
except MachineError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="POSIX only")
def test_a_full_disk_during_publish_keeps_the_last_file(demo_copy: Path) -> None:
    before = (demo_copy / "study.duckdb").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(demo_copy)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == MachineError.exit_code, done.stderr
    assert "unchanged" in done.stdout
    assert (demo_copy / "study.duckdb").read_bytes() == before
    assert sorted(p.name for p in demo_copy.glob(".study.duckdb*")) == []
    with open_study(demo_copy) as study:
        assert study.table("score").height > 10_000


def test_a_full_disk_while_storing_keeps_the_manifest(
    demo_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StudyStore(demo_copy)
    before = store.manifest
    frame = store.read("score", [TIDY])
    assert frame is not None

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="No space left"):
        store.put("score", TIDY, frame=frame.head(3), inputs={})
    monkeypatch.undo()
    assert store.manifest == before
    assert not [p for p in store.root.rglob(".*") if p.name != ".lock"]


def test_a_folder_without_write_permission_is_named(demo_copy: Path) -> None:
    # Root may write anywhere: step down to nobody where the tests run as root.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "study"
        shutil.copytree(demo_copy, folder)
        for path in (Path(name), folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        as_root = os.geteuid() == 0
        if as_root:
            os.seteuid(65534)
        try:
            with pytest.raises(MachineError, match="unchanged"):
                StudyStore(folder).publish()
        finally:
            if as_root:
                os.seteuid(0)
            for path in (Path(name), folder, *folder.rglob("*")):
                path.chmod(0o755)


def test_a_damaged_version_is_noticed(demo_copy: Path) -> None:
    store = StudyStore(demo_copy)
    entry = store.manifest.entry("score", TIDY)
    assert entry is not None
    path = store.root / entry.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="not what it was"):
        store.read("score", [TIDY])
