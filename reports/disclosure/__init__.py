"""The gate between what is known and what may leave: release, reopen, require.

Everything that draws, writes or exports imports from here.
"""

from __future__ import annotations

from reports.disclosure.document import canonical, reopen_release, to_json
from reports.disclosure.facts import InstrumentFacts, OutcomeFacts, StudyFacts
from reports.disclosure.gate import release
from reports.disclosure.released import (
    Release,
    Released,
    require_release,
    require_released,
)

__all__ = [
    "InstrumentFacts",
    "OutcomeFacts",
    "Release",
    "Released",
    "StudyFacts",
    "canonical",
    "release",
    "reopen_release",
    "require_release",
    "require_released",
    "to_json",
]
