"""Wiring and doors: settings, store, definitions, jobs, sensors, command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.opening import open_study

__all__ = ["open_study"]


def __getattr__(name: str) -> Any:
    """Import ``open_study`` when it is asked for: the command line stays quick."""
    if name == "open_study":
        from pipelines.opening import open_study  # noqa: PLC0415

        return open_study
    raise AttributeError(name)
