"""A release as one JSON text, and back: the form in which drafts keep it.

The text carries its own digest and is held against the limits again when it is
opened, so that an edited one is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import polars as pl
from pydantic import ValidationError

from data_contracts.errors import DisclosureError
from data_contracts.policy import ReleasePolicy
from reports.disclosure.audit import check_released
from reports.disclosure.facts import StudyFacts
from reports.disclosure.released import GATE_KEY, Release, Released, require_release
from reports.disclosure.schema import RELEASED

__all__ = ["canonical", "reopen_release", "to_json"]

_FORMAT = 1


def canonical(value: object) -> str:
    """Write a value as JSON in one way only: sorted keys, no spaces, no NaN."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def to_json(release: Release) -> str:
    """Write a release as JSON; the same release gives the same text.

    Infinite degrees of freedom are written as the text ``inf``.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    release = require_release(release)
    content = {
        "format": _FORMAT,
        "study": release.study.model_dump(mode="json"),
        "analysis_year": release.analysis_year,
        "policy": release.policy.model_dump(mode="json"),
        "tables": {
            name: {
                "columns": table.frame.columns,
                "rows": [[_to_plain(v) for v in row] for row in table.frame.rows()],
            }
            for name, table in release.tables.items()
        },
    }
    text = canonical(content)
    return canonical({"content": content, "sha256": _digest(text)}) + "\n"


def reopen_release(text: str) -> Release:
    """Open a release that was written by ``to_json``.

    Args:
        text: The whole JSON text.

    Returns:
        The release, equal to the one that was written.

    Raises:
        DisclosureError: If it is no such text, was changed since, or does not hold
            the limits of its policy.
    """
    try:
        document = json.loads(text)
        content, digest = document["content"], document["sha256"]
        if digest != _digest(canonical(content)):
            raise DisclosureError(
                "The release does not match its own digest: it was changed after the "
                "gate wrote it. Make the draft again."
            )
        if content["format"] != _FORMAT:
            raise DisclosureError(
                f"The release is of format {content['format']}, expected {_FORMAT}. "
                "Make the draft again with this version."
            )
        facts = StudyFacts.model_validate(content["study"])
        policy = ReleasePolicy.model_validate(content["policy"])
        frames = {
            name: _frame(name, table) for name, table in content["tables"].items()
        }
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise DisclosureError(
            f"The release cannot be read ({type(error).__name__}); expected the text "
            "of release.json as the gate wrote it. Make the draft again."
        ) from error
    check_released(frames, policy=policy, facts=facts)
    return Release(
        study=facts,
        analysis_year=str(content["analysis_year"]),
        policy=policy,
        tables={name: Released(name, f, key=GATE_KEY) for name, f in frames.items()},
        key=GATE_KEY,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _to_plain(value: object) -> object:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # dates, in ISO form


def _frame(name: str, table: Mapping[str, list[Any]]) -> pl.DataFrame:
    schema = dict(RELEASED[name].schema)
    if table["columns"] != list(schema):
        raise ValueError(name)
    columns = {c: [row[i] for row in table["rows"]] for i, c in enumerate(schema)}
    made = {}
    for column, dtype in schema.items():
        values = columns[column]
        if dtype == pl.Float64():
            numbers = [None if v is None else float(v) for v in values]
            made[column] = pl.Series(column, numbers, dtype=pl.Float64)
        elif dtype == pl.Date():
            made[column] = pl.Series(column, values, dtype=pl.String).str.to_date()
        else:
            made[column] = pl.Series(column, values, dtype=dtype)
    return pl.DataFrame(made)
