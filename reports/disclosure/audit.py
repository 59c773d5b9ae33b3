"""A second look at finished tables, when they are released and when reopened.

Knows nothing of how the rules decided: it holds what is about to leave against
the limits alone, so that a mistake in a rule does not go out.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from data_contracts.errors import DisclosureError
from data_contracts.policy import ReleasePolicy
from reports.disclosure.cells import rounding_step
from reports.disclosure.facts import StudyFacts
from reports.disclosure.schema import RELEASED

__all__ = ["check_released"]


def check_released(
    tables: Mapping[str, pl.DataFrame], *, policy: ReleasePolicy, facts: StudyFacts
) -> None:
    """Hold released tables against the limits of their policy.

    Raises:
        DisclosureError: If a table is missing or unknown, a column is not in the
            released schema, a suppressed row holds a number, a shown count is below
            the minimum or not rounded, or a row describes a single community.
    """
    if set(tables) != set(RELEASED):
        raise _stop("the set of tables", "is not the declared one")
    for name, frame in tables.items():
        table = RELEASED[name]
        if dict(frame.schema) != dict(table.schema):
            raise _stop(name, "does not have the released columns")
        hidden = frame.filter(pl.col("suppressed"))
        if any(hidden[c].null_count() < hidden.height for c in table.values):
            raise _stop(name, "shows a number in a suppressed row")
        shown = frame.filter(~pl.col("suppressed"))
        if name == "held_back":
            continue
        step = rounding_step(policy)
        for column in table.counts:
            if shown.filter(pl.col(column) % step != 0).height:
                raise _stop(name, f"shows counts in {column} that are not rounded")
        lowest = policy.minimum_cell // step * step
        for column in table.people:
            if shown.filter(
                pl.col(column).is_null() | (pl.col(column) < lowest)
            ).height:
                raise _stop(name, f"shows a row with too few people in {column}")
        if "by" in frame.columns and _speaks_of_communities(frame):
            raise _stop(name, "describes single communities")
        if "outcome" in frame.columns:
            for outcome in frame["outcome"].unique().to_list():
                facts.outcome(outcome)


def _speaks_of_communities(frame: pl.DataFrame) -> bool:
    parts = pl.col("by").str.split(":").list.eval(pl.element().str.strip_chars())
    return frame.filter(parts.list.contains("community")).height > 0


def _stop(name: str, what: str) -> DisclosureError:
    return DisclosureError(
        f"The release was stopped: {name} {what}. Nothing has left the study; please "
        "report this."
    )
