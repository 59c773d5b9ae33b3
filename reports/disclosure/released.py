"""Values that have passed the gate: the only ones that anything outside may show.

``Released`` and ``Release`` are made by the gate alone. Whatever draws, writes or
exports asks ``require_released`` or ``require_release`` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from data_contracts.errors import DisclosureError
from data_contracts.policy import ReleasePolicy
from reports.disclosure.facts import OutcomeFacts, StudyFacts

__all__ = ["Release", "Released", "require_release", "require_released"]

GATE_KEY: Final = object()
"""Held by the modules of this package; without it nothing can be released."""


def _only_the_gate(key: object, what: str) -> None:
    if key is not GATE_KEY:
        raise DisclosureError(
            f"A {what} was about to be made outside the release gate; only "
            "reports.disclosure.release() may make one. Pass the results through it."
        )


class Released:
    """One released table: rows that may leave, suppressed ones marked as such.

    Attributes:
        name: Name of the result table, or ``held_back``.
        frame: A copy of the rows, in the released schema of the table.
    """

    __slots__ = ("_frame", "_name")

    def __init__(self, name: str, frame: pl.DataFrame, *, key: object = None) -> None:
        _only_the_gate(key, "released table")
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_frame", frame.clone())

    def __init_subclass__(cls) -> None:
        raise DisclosureError("A released table cannot be imitated by a subclass.")

    def __setattr__(self, name: str, value: object) -> None:
        raise DisclosureError(f"A released table cannot be changed ({name}).")

    @property
    def name(self) -> str:
        """Name of the table."""
        return self._name  # type: ignore[attr-defined,no-any-return]

    @property
    def frame(self) -> pl.DataFrame:
        """A copy of the released rows; changing it changes nothing released."""
        return self._frame.clone()  # type: ignore[attr-defined,no-any-return]


@dataclass(frozen=True, eq=False)
class Release:
    """Everything of one analysis year that may leave the study.

    Attributes:
        study: What the study file says about itself, for titles and methods.
        analysis_year: Academic year as of which the study was analysed.
        policy: The policy that was applied.
        tables: Released tables by name, ``held_back`` among them.
        key: Held by the gate.
    """

    study: StudyFacts
    analysis_year: str
    policy: ReleasePolicy
    tables: Mapping[str, Released]
    key: object = None

    def __post_init__(self) -> None:
        _only_the_gate(self.key, "release")
        object.__setattr__(self, "key", None)
        object.__setattr__(self, "tables", MappingProxyType(dict(self.tables)))

    def __init_subclass__(cls) -> None:
        raise DisclosureError("A release cannot be imitated by a subclass.")

    def rows(self, table: str) -> pl.DataFrame:
        """Released rows of one table.

        Raises:
            DisclosureError: If the release has no such table.
        """
        if table not in self.tables:
            raise DisclosureError(
                f"The release has no table {table!r}; it has "
                f"{', '.join(sorted(self.tables))}."
            )
        return self.tables[table].frame

    def outcome(self, outcome: str) -> OutcomeFacts:
        """What the study says about one outcome."""
        return self.study.outcome(outcome)

    @property
    def n_rows(self) -> int:
        """Rows that leave, over all tables."""
        return sum(t.frame.height for t in self.tables.values())


def require_released(value: object) -> Released:
    """Return the value if the gate made it.

    Raises:
        DisclosureError: If it is anything else, a raw frame above all.

    Examples:
        >>> require_released([2.4])
        Traceback (most recent call last):
        ...
        data_contracts.errors.DisclosureError: ...
    """
    if type(value) is not Released:
        raise DisclosureError(
            f"Only released tables may be shown; found {type(value).__name__}. "
            "Pass the results through reports.disclosure.release() first."
        )
    return value


def require_release(value: object) -> Release:
    """Return the value if the gate made it.

    Raises:
        DisclosureError: If it is anything else.
    """
    if type(value) is not Release:
        raise DisclosureError(
            f"Only a release may be shown; found {type(value).__name__}. "
            "Pass the results through reports.disclosure.release() first."
        )
    for table in value.tables.values():
        require_released(table)
    return value
