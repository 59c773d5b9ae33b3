"""The one error tree of lcwaves, by who must act.

Every error a person can cause says what was found, what was expected and what to
do, shows no traceback at the command line and ends the command with its own exit
code. No message ever holds an answer or a key: it names files, rows, columns,
rules and counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "DataError",
    "DisclosureError",
    "InternalError",
    "LcwavesError",
    "MachineError",
    "ModelError",
    "Problem",
    "StudyFileError",
]


class LcwavesError(Exception):
    """Root of all errors that lcwaves raises on purpose."""

    exit_code = 70


class StudyFileError(LcwavesError):
    """The study file is wrong: the researcher mends study.yaml.

    Carries every mistake found, each with its line.
    """

    exit_code = 3

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{source}: {count} mistake{'s' if count != 1 else ''}"
        super().__init__("\n".join([head, *(str(p) for p in self.problems)]))


class DataError(LcwavesError):
    """A file of answers or a roster is wrong: the researcher mends the file."""

    exit_code = 4


class ModelError(LcwavesError):
    """A model or question cannot be answered with these data: ask another."""

    exit_code = 5


class DisclosureError(LcwavesError):
    """The release gate stopped: nothing left the study."""

    exit_code = 6


class MachineError(LcwavesError):
    """The machine is in the way: permissions, disk space, a missing program."""

    exit_code = 7


class InternalError(LcwavesError):
    """Our own mistake: please report it."""

    exit_code = 70


@dataclass(frozen=True)
class Problem:
    """One mistake in a file that a person wrote.

    Attributes:
        line: Line in the file, counted from 1; None where no line can be named.
        place: Dotted path of the setting, such as ``waves[2].file``.
        found: What stands there.
        expected: What would be right.
        action: What to do about it.
    """

    line: int | None
    place: str
    found: str
    expected: str
    action: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line is not None else "no line"
        return (
            f"  {where}, {self.place}: found {self.found}; expected {self.expected}. "
            f"{self.action}"
        )
