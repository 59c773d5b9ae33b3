"""Between Dagster and the store: tables in and out, by asset and partition."""

from __future__ import annotations

import dagster as dg
import polars as pl

from assets.context import Materialized
from data_contracts.errors import DataError
from pipelines.store import WHOLE, StudyStore

__all__ = ["TableIOManager"]


class TableIOManager(dg.IOManager):
    """Stores each asset's frame under its table's name, and reads it back."""

    def __init__(self, store: StudyStore) -> None:
        self._store = store

    def handle_output(
        self, context: dg.OutputContext, obj: Materialized | None
    ) -> None:
        """Store a table; an asset that stores nothing itself gives None."""
        if obj is None:
            return
        partition = context.partition_key if context.has_asset_partitions else WHOLE
        entry = self._store.put(
            table_of(context.asset_key),
            partition,
            frame=obj.frame,
            inputs=obj.inputs,
        )
        context.add_output_metadata({"digest": entry.digest, "file": str(entry.path)})

    def load_input(self, context: dg.InputContext) -> pl.DataFrame:
        """Read the upstream partition that this run needs."""
        table = table_of(context.asset_key)
        partition = (
            context.asset_partition_key if context.has_asset_partitions else WHOLE
        )
        frame = self._store.read(table, [partition])
        if frame is None:
            raise DataError(
                f"found no materialized {context.asset_key.to_user_string()} for "
                f"{partition}; expected it before this step. Materialize it first."
            )
        return frame


def table_of(key: dg.AssetKey) -> str:
    """Table name of an asset: its name without core_ or out_.

    Examples:
        >>> table_of(dg.AssetKey("core_score")), table_of(dg.AssetKey("raw_wave"))
        ('score', 'raw_wave')
    """
    name = key.path[-1]
    return name.removeprefix("core_").removeprefix("out_")
