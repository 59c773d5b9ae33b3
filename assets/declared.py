"""From table declarations to Dagster: column schemas, checks, safe errors."""

import functools
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import dagster as dg
import polars as pl

from assets.context import Materialized
from data_contracts.errors import InternalError, LcwavesError
from data_contracts.tables import TABLES, Table, check_table

__all__ = ["check_specs", "guarded", "stored", "table_metadata", "table_out"]

AS_DECLARED = "as_declared"
"""The check of every table. One, not one a rule: each check is a transaction in
Dagster's event log, and seven tables a wave add up."""

P = ParamSpec("P")
T = TypeVar("T")


def table_metadata(table: Table) -> dict[str, Any]:
    """Column schema of a declared table, as the Dagster UI shows it."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    c.name,
                    str(c.dtype),
                    description=c.meaning,
                    tags={"sensitivity": c.sensitivity.value},
                )
                for c in table.columns
            ]
        )
    }


def table_out(name: str, *, kinds: frozenset[str]) -> dg.AssetOut:
    """Output of a multi-asset that stores a declared table."""
    table = TABLES[name]
    return dg.AssetOut(
        key=table.produced_by,
        description=f"One row is {table.title}.",
        metadata=table_metadata(table),
        kinds=set(kinds),
    )


def check_specs(*names: str) -> list[dg.AssetCheckSpec]:
    """The check of declared tables: the rules of ``check_table``, with counts."""
    return [
        dg.AssetCheckSpec(
            AS_DECLARED,
            asset=TABLES[name].produced_by,
            description="Columns, types, key, required columns and closed sets of "
            "values are as the table declares.",
            blocking=True,
        )
        for name in names
    ]


def stored(
    name: str,
    frame: pl.DataFrame,
    *,
    inputs: Mapping[str, str],
    output: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Iterator[dg.AssetCheckResult | dg.Output[Materialized]]:
    """Check a table and, where every rule holds, hand it on to be stored.

    Args:
        name: Declared table.
        frame: Its rows.
        inputs: Digests of what it was made from.
        output: Output name of a multi-asset; ``result`` by default.
        metadata: Further metadata for the materialization.

    Yields:
        The check's result, then the output.

    Raises:
        InternalError: If a rule is broken; nothing is stored then.
    """
    findings = check_table(name, frame)
    yield dg.AssetCheckResult(
        passed=all(f.passed for f in findings),
        asset_key=TABLES[name].produced_by,
        check_name=AS_DECLARED,
        metadata={f"{f.rule}: {f.description}": f.failures for f in findings},
    )
    broken = [f for f in findings if not f.passed]
    if broken:
        raise InternalError(
            f"table {name} broke its own rules "
            f"({', '.join(f'{f.rule}: {f.failures}' for f in broken)}); nothing was "
            "stored. Please report this."
        )
    yield dg.Output(
        Materialized(frame, dict(inputs)),
        output_name=output or "result",
        metadata={"dagster/row_count": frame.height, **(metadata or {})},
    )


def guarded(function: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """Keep answers and keys out of errors that we did not word ourselves.

    A library's message may quote a value; Dagster stores messages for good. Such an
    error becomes an InternalError with its type and place alone.
    """

    @functools.wraps(function)
    def safe(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        try:
            yield from function(*args, **kwargs)
        except LcwavesError:
            raise
        except Exception as error:  # noqa: BLE001 everything else is our mistake
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise InternalError(
                f"{type(error).__name__} in {Path(last.filename).name}, line "
                f"{last.lineno}, while {function.__name__} ran. The message is "
                "withheld because it may quote data. Please report this."
            ) from None

    return safe
