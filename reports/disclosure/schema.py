"""The released form of every result table: its columns and what marks a hidden row.

Built from the declarations of ``data_contracts.tables``. A column that is not here
cannot leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from data_contracts.errors import DisclosureError
from data_contracts.tables import TABLES, check_table

__all__ = ["RELEASED", "ReleasedTable", "conform_result", "finish"]

_TEXT, _COUNT = pl.String(), pl.Int64()
_MARKS: dict[str, pl.DataType] = {"suppressed": pl.Boolean(), "reason": pl.String()}

SET_ASIDE: dict[str, pl.DataType] = {
    "source": _TEXT,
    "rule": _TEXT,
    "extent": _TEXT,
    "n_rows": _COUNT,
}
"""The only result table that is not stored: quarantine, counted by rule."""


@dataclass(frozen=True)
class ReleasedTable:
    """What one released table holds.

    Attributes:
        schema: Columns and types, in order.
        counts: Columns that count people, answers or rows; all are rounded.
        people: Counts of people that the minimum cell applies to.
        values: Columns that are null in a suppressed row, counts included.
        key: Columns that sort the rows.
    """

    schema: Mapping[str, pl.DataType]
    counts: tuple[str, ...]
    people: tuple[str, ...]
    values: tuple[str, ...]
    key: tuple[str, ...]


def _released(
    schema: Mapping[str, pl.DataType],
    *,
    counts: str = "",
    people: str = "",
    values: str = "",
    key: str,
) -> ReleasedTable:
    return ReleasedTable(
        schema={**schema, **_MARKS},
        counts=tuple(counts.split()),
        people=tuple(people.split()),
        values=tuple(f"{values} {counts}".split()),
        key=tuple(key.split()),
    )


_STATISTICS = "estimate std_error df statistic p_value conf_low conf_high"

RELEASED: dict[str, ReleasedTable] = {
    "estimate": _released(
        TABLES["estimate"].schema,
        counts="n_people n_answers",
        people="n_people",
        values=f"{_STATISTICS} n_communities",
        key="outcome model quantity by level",
    ),
    "contrast": _released(
        TABLES["contrast"].schema,
        counts="n_people n_people_reference",
        people="n_people n_people_reference",
        values=f"{_STATISTICS} p_adjusted adjusted_low adjusted_high",
        key="primary_order outcome model by level reference adjustment",
    ),
    "variance_component": _released(
        TABLES["variance_component"].schema,
        counts="n_people",
        people="n_people",
        values="variance sd conf_low conf_high share n_levels",
        key="outcome model group",
    ),
    "fit": _released(
        TABLES["fit"].schema,
        counts="n_people n_answers n_dropped",
        people="n_people",
        values="n_communities df log_likelihood",
        key="outcome model",
    ),
    "refusal": _released(TABLES["refusal"].schema, key="outcome model"),
    "distribution": _released(
        TABLES["distribution"].schema,
        counts="n_people",
        people="n_people",
        values="bin_low bin_high",
        key="outcome academic_year bin_low",
    ),
    "response_flow": _released(
        {
            **TABLES["response_flow"].schema,
            "percent": pl.Float64(),
            "percent_of": _TEXT,
        },
        counts="n_people",
        people="n_people",
        values="percent",
        key="wave by level stage",
    ),
    "wave": _released(
        TABLES["wave"].schema,
        counts="rows_read exact_repeats",
        key="opened wave",
    ),
    "set_aside": _released(SET_ASIDE, counts="n_rows", key="source rule extent"),
    "held_back": _released(
        {
            "result_table": _TEXT,
            "outcome": _TEXT,
            "by": _TEXT,
            "reason_held": _TEXT,
            "n_result_rows": _COUNT,
        },
        key="result_table outcome by reason_held",
    ),
}
"""Released tables by name; ``held_back`` counts result rows, never people."""


def conform_result(name: str, frame: pl.DataFrame, *, year: str) -> pl.DataFrame:
    """Check a result table against its declaration before any of it is judged.

    Args:
        name: Name of the result table.
        frame: Its rows, unrounded.
        year: Analysis year that every row must name, where the table names one.

    Returns:
        The rows in declared column order; a number that is not a number is null.

    Raises:
        DisclosureError: If a column is unknown, missing or of another type, a key
            repeats or is null, a closed set is left, or a row is of another year.
    """
    expected = SET_ASIDE if name == "set_aside" else TABLES[name].schema
    if dict(frame.schema) != dict(expected):
        unknown = sorted(set(frame.columns) - set(expected))
        missing = sorted(set(expected) - set(frame.columns))
        typed = sorted(
            c for c in expected if c in frame.columns and frame.schema[c] != expected[c]
        )
        if unknown or missing or typed:
            raise DisclosureError(
                f"The result table {name} is not as declared: unknown columns "
                f"{unknown}, missing columns {missing}, columns of another type "
                f"{typed}. Nothing is released; declare them in data_contracts."
            )
    frame = frame.select(list(expected))
    if name in TABLES:
        for finding in check_table(name, frame):
            if not finding.passed:
                raise DisclosureError(
                    f"The result table {name} breaks the rule {finding.rule} in "
                    f"{finding.failures} places ({finding.description}). Nothing is "
                    "released."
                )
    if "analysis_year" in frame.columns:
        other = frame.filter(pl.col("analysis_year") != year).height
        if other:
            raise DisclosureError(
                f"The result table {name} holds {other} rows of another analysis year "
                f"than {year}. Nothing is released."
            )
    reals = [c for c, dtype in frame.schema.items() if dtype == pl.Float64()]
    return frame.with_columns(pl.col(reals).fill_nan(None))


def finish(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Bring rows into the released schema: null what is suppressed, sort.

    Expects ``suppressed`` and ``reason``; fills in what the table lacks.
    """
    table = RELEASED[name]
    present = set(frame.columns)
    frame = frame.with_columns(
        pl.lit(None, dtype=dtype).alias(c)
        for c, dtype in table.schema.items()
        if c not in present
    ).with_columns(pl.col("suppressed").fill_null(value=False))
    hidden = pl.col("suppressed")
    frame = frame.with_columns(
        pl.when(hidden).then(None).otherwise(pl.col(c)).alias(c) for c in table.values
    )
    return (
        frame.select(list(table.schema))
        .cast(dict(table.schema))  # type: ignore[arg-type]
        .sort(table.key, nulls_last=True)
    )
