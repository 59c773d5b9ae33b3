"""The demo study, run whole once for all tests of the pipeline."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_contracts.synthetic import write_synthetic_study
from data_contracts.synthetic_truth import Truth
from pipelines.runs import StudyRun, YearRun
from reports.bundle import promote_draft

YEAR = "2024-25"


@dataclass(frozen=True)
class Demo:
    """A synthetic study with known truth, materialized, drafted and released."""

    folder: Path
    truth: Truth
    ran: YearRun


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Tests must not change this folder; ``demo_copy`` gives one of their own."""
    folder = tmp_path_factory.mktemp("demo") / "study"
    truth = write_synthetic_study(folder)
    run = StudyRun(folder, figures="none")
    try:
        ran = run.year(YEAR)
    finally:
        run.close()
    promote_draft(folder, YEAR, figures="none")
    return Demo(folder, truth, ran)


@pytest.fixture
def demo_copy(demo: Demo, tmp_path: Path) -> Path:
    """A copy of the materialized demo study, to be changed at will."""
    return shutil.copytree(demo.folder, tmp_path / "study")


@pytest.fixture
def opened(demo_copy: Path) -> Iterator[Callable[[], StudyRun]]:
    """Opens the copied study for running; closes what was opened."""
    runs: list[StudyRun] = []

    def opening() -> StudyRun:
        runs.append(StudyRun(demo_copy, figures="none"))
        return runs[-1]

    yield opening
    for run in runs:
        run.close()
