"""The raw layer: files as received, mapped columns as text, people as hashes.

Nothing after this layer opens a raw file.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from assets.context import Materialized, StudyContext
from assets.declared import guarded
from assets.partitions import WAVES
from data_contracts.door import AdmittedRows, admit_roster, admit_wave
from data_contracts.errors import DataError
from data_contracts.formats import FileRows, read_file
from data_contracts.study import RosterFile, Wave, raw_file, roster_file

__all__ = ["raw_community_years", "raw_membership", "raw_participants", "raw_wave"]

LAYER = {"layer": "raw"}


@dg.asset(
    partitions_def=WAVES,
    group_name="raw",
    kinds={"csv", "parquet"},
    tags=LAYER,
)
@guarded
def raw_wave(
    context: dg.AssetExecutionContext, place: dg.ResourceParam[StudyContext]
) -> Iterator[dg.Output[Materialized]]:
    """A wave's mapped columns as text, with file digest and row number.

    Columns that identify people stop before this.
    """
    wave = place.study.waves_by_id[context.partition_key]
    path = raw_file(place.folder, wave)
    place.progress(f"{wave.id}: reading {wave.file}")
    rows = read_file(path, wave.format, name=str(path.relative_to(place.folder)))
    _refuse_wave_twice(place, wave, rows)
    admitted = admit_wave(rows, place.study, wave, secret=place.secret)
    yield dg.Output(
        Materialized(
            _with_provenance(rows, admitted.frame, wave=wave.id),
            {
                "file": rows.digest,
                "declaration": place.wave_declaration(wave),
                "key": place.secret_name,
                "code": place.code_digest,
            },
        ),
        metadata=_door_metadata(rows, admitted),
    )


def _with_provenance(rows: FileRows, frame: pl.DataFrame, *, wave: str) -> pl.DataFrame:
    return frame.with_columns(
        wave=pl.lit(wave),
        file=pl.lit(rows.name),
        file_format=pl.lit(rows.file_format),
        file_digest=pl.lit(rows.digest),
    )


def _door_metadata(rows: FileRows, admitted: AdmittedRows) -> dict[str, Any]:
    """What came in and what was stopped: names of columns and counts alone."""
    return {
        "dagster/row_count": admitted.frame.height,
        "file": rows.name,
        "file digest": rows.digest,
        "rows in file": rows.frame.height,
        "identifying columns stopped": len(admitted.stopped),
        "stopped": dg.MetadataValue.json(
            [{"column": s.name, "kind": s.kind} for s in admitted.stopped]
        ),
        "columns not mapped and not stored": len(admitted.unmapped),
    }


def _refuse_wave_twice(place: StudyContext, wave: Wave, rows: FileRows) -> None:
    """The same bytes as another wave's file are that wave a second time."""
    for entry in place.store.of("raw_wave"):
        other = place.study.waves_by_id.get(entry.partition)
        if (
            other is not None
            and other.id != wave.id
            and other.rows == wave.rows
            and entry.inputs.get("file") == rows.digest
        ):
            raise DataError(
                f"{rows.name}: found the very file of wave {other.id}; expected "
                f"another for wave {wave.id}. Put the right export in place; wave "
                f"{other.id} is untouched."
            )


def _roster_asset(name: str, what: str) -> dg.AssetsDefinition:
    """An asset that reads one roster file; empty where the study declares none."""

    @dg.asset(
        name=f"raw_{name}",
        group_name="raw",
        kinds={"csv", "parquet"},
        tags=LAYER,
        description=f"{what}, as received.",
    )
    @guarded
    def roster_rows(
        place: dg.ResourceParam[StudyContext],
    ) -> Iterator[dg.Output[Materialized]]:
        roster: RosterFile | None = getattr(place.study.rosters, name)
        inputs = place.roster_inputs()
        if roster is None:
            nothing = pl.DataFrame(schema={"row_number": pl.Int64})
            yield dg.Output(
                Materialized(nothing, inputs),
                metadata={"dagster/row_count": 0, "declared": False},
            )
            return
        path = roster_file(place.folder, roster)
        place.progress(f"rosters: reading {roster.file}")
        rows = read_file(path, roster.format, name=str(path.relative_to(place.folder)))
        admitted = admit_roster(rows, name, roster, secret=place.secret)
        yield dg.Output(
            Materialized(
                _with_provenance(rows, admitted.frame, wave=name),
                {**inputs, "file": rows.digest},
            ),
            metadata=_door_metadata(rows, admitted),
        )

    return roster_rows


raw_membership = _roster_asset(
    "membership", "Who was in which community, class year and campus"
)
raw_participants = _roster_asset("participants", "People with role, cohort and track")
raw_community_years = _roster_asset(
    "community_years", "Communities by year with their features"
)
