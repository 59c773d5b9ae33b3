"""Running the jobs from a program: what the command line and the tests start.

A run brings the rosters, every wave up to the year and the year's draft up to date,
and does again only what is stale. One wave's fault leaves the others untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.context import StudyContext
from assets.core import WAVE_TABLES
from assets.notebooks import notebook_page
from data_contracts.errors import DataError, InternalError
from data_contracts.tables import TABLES
from pipelines.definitions import wired
from pipelines.freshness import rosters_freshness, wave_freshness, year_freshness
from pipelines.opening import open_context
from pipelines.sensors import sync_partitions
from pipelines.settings import dagster_home
from pipelines.store import StudyStore
from reports.bundle import FigureFiles

__all__ = ["StudyRun", "YearRun"]

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class YearRun:
    """What a run did.

    Attributes:
        draft: Folder of the draft report.
        refreshed: Waves that were read anew.
        missing: Waves up to the year whose file is not there yet.
        analysed: Whether the year was analysed anew.
    """

    draft: Path
    refreshed: tuple[str, ...]
    missing: tuple[str, ...]
    analysed: bool


class StudyRun:
    """One study opened for running jobs; close it when done.

    Args:
        folder: Study folder.
        progress: Says one line of progress.
        figures: Which figures of a draft are written as files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        progress: Callable[[str], None] = lambda _: None,
        figures: FigureFiles = "all",
    ) -> None:
        self.place: StudyContext = open_context(
            folder, progress=progress, figures=figures
        )
        self.store = StudyStore(folder)
        self._definitions = wired(self.place)
        home = dagster_home(folder)
        self.instance = dg.DagsterInstance.from_config(str(home))
        sync_partitions(self.instance, self.place.study)

    def close(self) -> None:
        """Close the Dagster instance."""
        self.instance.dispose()

    def rosters(self) -> None:
        """Bring the tables of people up to date."""
        self._run("refresh_rosters", partition=None)

    def wave(self, wave: str, *, publish: bool = True) -> None:
        """Read one wave again.

        Args:
            wave: Wave id.
            publish: Whether study.duckdb is swapped afterwards.
        """
        if wave not in self.place.study.waves_by_id:
            raise DataError(
                f"found no wave {wave!r}; expected one of "
                f"{', '.join(self.place.study.waves_by_id)}."
            )
        selection = None
        if not publish:
            selection = [
                "raw_wave",
                *(TABLES[t].produced_by for t in (*WAVE_TABLES, "score")),
            ]
        self._run("refresh_wave", partition=wave, selection=selection)

    def year(self, year: str, *, everything: bool = False) -> YearRun:
        """Bring a year's draft report up to date.

        Args:
            year: Analysis year.
            everything: Make everything again, stale or not.

        Returns:
            What was done.

        Raises:
            DataError: If waves failed; the message holds each one's error. What was
                there before them stays as it was.
        """
        study, say = self.place.study, self.place.progress
        if year not in study.academic_years:
            raise DataError(
                f"found no academic year {year!r}; expected one of "
                f"{', '.join(study.academic_years)}."
            )
        # A wave taken out of study.yaml leaves the current tables; its files stay.
        self.store.keep({w.id for w in study.waves} | set(study.academic_years))
        if everything or not rosters_freshness(self.place, self.store).is_current:
            self.rosters()
        missing: list[str] = []
        refreshed: list[str] = []
        errors: list[str] = []
        for wave in study.waves_up_to(year):
            fresh = wave_freshness(self.place, self.store, wave)
            if not fresh.file_there:
                if fresh.present:
                    say(f"{wave.id}: its file is gone; what was stored is used")
                else:
                    missing.append(wave.id)
                    say(f"{wave.id}: no file yet, left out")
                continue
            if fresh.is_current and not everything:
                continue
            try:
                self.wave(wave.id, publish=False)
                refreshed.append(wave.id)
            except (DataError, InternalError) as error:
                errors.append(str(error))
        if errors:
            waves = "wave" if len(errors) == 1 else "waves"
            errors.append(
                f"{len(errors)} {waves} failed; no report was written and everything "
                "else is as it was."
            )
            raise DataError("\n".join(errors))
        draft = self.place.folder / "drafts" / year
        analysed = (
            everything
            or not year_freshness(self.place, self.store, year).is_current
            or not (draft / "index.html").is_file()
        )
        if analysed:
            self._run("yearly_report", partition=year)
        return YearRun(draft, tuple(refreshed), tuple(missing), analysed)

    def notebook(self, name: str, year: str) -> Path:
        """Run one notebook for a year; returns its page, inside the study."""
        self._run("notebooks", partition=year, selection=[f"out_notebook_{name}"])
        return notebook_page(self.place.folder, name, year=year)

    def _run(
        self, job: str, *, partition: str | None, selection: list[str] | None = None
    ) -> None:
        result = self._definitions.resolve_job_def(job).execute_in_process(
            run_config=_QUIET,
            instance=self.instance,
            partition_key=partition,
            asset_selection=[dg.AssetKey(a) for a in selection] if selection else None,
        )
        if not result.success:  # errors are raised; this is a step that did not run
            raise InternalError(f"job {job} did not succeed. Please report this.")
