"""What the terminal shows: progress, tables, errors; and how a command ends."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_contracts.errors import InternalError, LcwavesError

if TYPE_CHECKING:
    from pipelines.checking import FileCheck, StudyCheck

__all__ = ["Terminal"]

DEBUG_VARIABLE = "LCWAVES_DEBUG"
_FILE_WIDTH = 160


class Terminal:
    """Writes results to standard output, progress and errors to standard error."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        if not self._out.is_terminal:
            # Into a file or a pipe: no screen to fit, so nothing is folded.
            self._out.width = _FILE_WIDTH
        self._started = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line of the result."""
        self._out.print(Text(line))

    def progress(self, line: str) -> None:
        """Print a line of progress, with the seconds since the start."""
        seconds = time.monotonic() - self._started
        self._err.print(Text(f"{seconds:6.1f} s  ", style="dim") + Text(line))

    def error(self, error: BaseException) -> int:
        """Print an error in words; returns the exit code.

        Our own mistakes are named by type and place alone, because a message may
        quote data; LCWAVES_DEBUG=1 shows everything.
        """
        if isinstance(error, LcwavesError):
            self._err.print(Text("error: ", style="bold red") + Text(str(error)))
            return error.exit_code
        place = traceback.extract_tb(error.__traceback__)[-1]
        self._err.print(
            Text("error: ", style="bold red")
            + Text(
                f"{type(error).__name__} in {Path(place.filename).name}, line "
                f"{place.lineno}. This is a mistake in lcwaves: please report it. "
                f"{DEBUG_VARIABLE}=1 shows more, which may quote data."
            )
        )
        if os.environ.get(DEBUG_VARIABLE):
            self._err.print("".join(traceback.format_exception(error)), markup=False)
        return InternalError.exit_code

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Print a table of text."""
        table = Table(title=title, title_justify="left", title_style="bold")
        for i, name in enumerate(columns):
            table.add_column(name, overflow="fold", no_wrap=i == 0)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._out.print(table)

    def study_check(self, check: StudyCheck) -> None:
        """Print what a check found."""
        study = check.study
        self.say(
            f"{study.title}: study.yaml is complete ({len(study.communities)} "
            f"communities, {len(study.waves)} waves, {len(study.outcomes)} outcomes, "
            f"{len(study.models)} models)."
        )
        self.table(
            "Files",
            ["wave or roster", "rows", "accepted", "set aside", "columns stopped"],
            [_file_row(f) for f in check.files],
        )
        for error in check.errors:
            self.error(error)


def _file_row(f: FileCheck) -> list[str]:
    if not f.there:
        return [f.name, "no file yet", "", "", ""]
    if f.error is not None:
        return [f.name, "error, see below", "", "", ""]
    aside = "\n".join(f"{rule}: {n}" for rule, n in f.set_aside) or "nothing"
    stopped = f"{len(f.stopped)} identifying" if f.stopped else "none"
    return [f.name, str(f.rows), str(f.accepted), aside, stopped]
