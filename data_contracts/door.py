"""The door: from a file's rows to the raw layer, with identifying columns stopped.

Only columns that the study maps go through; everything else stays outside. The
person's key is hashed here, and a mapped column whose cells identify people is
refused. Nothing here judges an answer: cells stay text until ``conform``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from data_contracts.errors import DataError
from data_contracts.formats import FileRows
from data_contracts.identifying import (
    identified_by_content,
    identified_by_name,
    identifying_cells,
)
from data_contracts.linkage import person_key, row_key
from data_contracts.study import RosterFile, Study, Wave

__all__ = [
    "STOPPED_CELL",
    "AdmittedRows",
    "StoppedColumn",
    "admit_roster",
    "admit_wave",
    "covariate_column",
    "item_column",
]

AS_ANSWERED = ("community", "class_year", "campus")
"""Columns that a wave may bring where no roster says them."""

STOPPED_CELL = "[stopped]"
"""Stands in the raw layer where a single cell of a mapped column identified."""

_SHOWN = 8


@dataclass(frozen=True)
class StoppedColumn:
    """A column that identifies people and was left outside."""

    name: str
    kind: str


@dataclass(frozen=True)
class AdmittedRows:
    """What came through the door.

    Attributes:
        frame: Text columns by our names, with ``row_number``, ``participant`` and,
            for waves, ``preview``, ``unfinished`` and ``exact_repeat``.
        stopped: Identifying columns, left outside.
        unmapped: Other columns that the study does not map, left outside.
    """

    frame: pl.DataFrame
    stopped: tuple[StoppedColumn, ...]
    unmapped: tuple[str, ...]


def item_column(instrument: str, item: int) -> str:
    """Name of an item's column in the raw layer."""
    return f"item.{instrument}.{item}"


def covariate_column(name: str) -> str:
    """Name of a covariate's column in the raw layer."""
    return f"covariate.{name}"


def admit_wave(
    rows: FileRows, study: Study, wave: Wave, *, secret: bytes
) -> AdmittedRows:
    """Let a wave's mapped columns in.

    Args:
        rows: The file as it was read.
        study: The study.
        wave: The wave that the file belongs to.
        secret: Key of the person hash; not used where persons have no key.

    Returns:
        The rows of the wave, as text, under our names.

    Raises:
        DataError: If mapped columns are missing or repeated, identify people, or no
            row belongs to the wave.
    """  # fmt: skip
    mapping = _wave_mapping(study, wave)
    selecting = tuple(wave.rows)
    wanted = [*mapping.values(), *selecting]
    if wave.columns.key is not None:
        wanted.append(wave.columns.key)
    _require_columns(rows, wanted, f"waves.{wave.id}")
    repeats = rows.frame.select(
        ~pl.struct(pl.all()).is_first_distinct().alias("exact_repeat")
    ).to_series()
    keep = pl.repeat(value=True, n=rows.frame.height, dtype=pl.Boolean, eager=True)
    for column, text in wave.rows.items():
        keep &= rows.frame.get_column(column) == text
    if not keep.any():
        raise DataError(
            f"{rows.name}: found no row of wave {wave.id}; expected rows with "
            f"{', '.join(f'{c} = {t}' for c, t in wave.rows.items())}. Mend `rows` in "
            "study.yaml or the file."
        )
    _refuse_identifying(rows, mapping)
    numbers = rows.row_numbers
    key = (
        _hashed(rows.frame.get_column(wave.columns.key), secret)
        if wave.columns.key is not None
        else pl.Series([row_key(wave.id, int(n)) for n in numbers], dtype=pl.String)
    )
    frame = pl.DataFrame(
        {
            "row_number": numbers.cast(pl.Int64),
            "participant": key,
            "preview": rows.previews,
            "unfinished": rows.unfinished,
            "exact_repeat": repeats,
            **{ours: _scrubbed(rows, c) for ours, c in mapping.items()},
        }
    ).filter(keep)
    used = {*wanted}
    return AdmittedRows(frame, *_left_outside(rows, used))


def admit_roster(
    rows: FileRows, name: str, roster: RosterFile, *, secret: bytes
) -> AdmittedRows:
    """Let a roster's mapped columns in; the person's key is hashed.

    Raises:
        DataError: If mapped columns are missing, repeated or identify people.
    """
    mapping = {k: v for k, v in roster.columns.items() if k != "participant"}
    _require_columns(rows, list(roster.columns.values()), f"rosters.{name}")
    _refuse_identifying(rows, mapping)
    key_column = roster.columns.get("participant")
    frame = pl.DataFrame(
        {
            "row_number": rows.row_numbers.cast(pl.Int64),
            **(
                {"participant": _hashed(rows.frame.get_column(key_column), secret)}
                if key_column is not None
                else {}
            ),
            **{ours: _scrubbed(rows, c) for ours, c in mapping.items()},
        }
    )
    return AdmittedRows(frame, *_left_outside(rows, set(roster.columns.values())))


def _wave_mapping(study: Study, wave: Wave) -> dict[str, str]:
    """Our column names to the file's, but for the key."""
    columns = wave.columns
    mapping = {
        name: column
        for name in ("recorded_on", *AS_ANSWERED)
        if (column := getattr(columns, name)) is not None
    }
    mapping |= {covariate_column(n): c for n, c in columns.covariates.items()}
    for name, entry in wave.instruments.items():
        n_items = study.instrument(name).n_items
        for item, column in enumerate(entry.item_columns(n_items), start=1):
            mapping[item_column(name, item)] = column
    return mapping


def _require_columns(rows: FileRows, wanted: Sequence[str], place: str) -> None:
    if twice := sorted(set(wanted) & rows.repeated):
        raise DataError(
            f"{rows.name}: found {len(twice)} mapped columns whose name stands more "
            f"than once ({_listed(twice)}); expected every mapped name once. Rename "
            "them in the survey tool and export again."
        )
    missing = [c for c in dict.fromkeys(wanted) if c not in rows.frame.columns]
    if not missing:
        return
    # A renamed column is one that nothing else is mapped to.
    free = {c.casefold(): c for c in rows.frame.columns if c not in wanted}
    hints = []
    for column in missing[:_SHOWN]:
        near = difflib.get_close_matches(column.casefold(), free, n=1, cutoff=0.7)
        hint = f" (nearest in the file: {free[near[0]]})" if near else ""
        hints.append(f"{column}{hint}")
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    raise DataError(
        f"{rows.name}: found no column {', '.join(hints)}{more}; expected the "
        f"{len(set(wanted))} columns that {place} maps. Mend the mapping in study.yaml "
        "if they were renamed, or export the file with them."
    )


def _refuse_identifying(rows: FileRows, mapping: dict[str, str]) -> None:
    for ours, column in mapping.items():
        by_name = identified_by_name(column)
        found = identified_by_content(rows.frame.get_column(column))
        if by_name is not None and not ours.startswith("item."):
            raise DataError(
                f"{rows.name}, column {column}: found a column that by its name holds "
                f"a person's {by_name}, mapped as {ours}; expected no identifying "
                "column. Take it out of the mapping in study.yaml."
            )
        if found is not None:
            kind, count = found
            raise DataError(
                f"{rows.name}, column {column}: found {count} cells that look like "
                f"{kind}s in a column mapped as {ours}; expected no identifying "
                "content. Take the column out of the mapping or clean the file. "
                "Nothing of it was stored."
            )


def _scrubbed(rows: FileRows, column: str) -> pl.Series:
    """A mapped column without the odd cell that identifies (a mail address, say)."""
    cells = rows.frame.get_column(column)
    marked = identifying_cells(cells)
    return cells.set(marked, STOPPED_CELL) if marked.any() else cells


def _left_outside(
    rows: FileRows, used: set[str]
) -> tuple[tuple[StoppedColumn, ...], tuple[str, ...]]:
    stopped: list[StoppedColumn] = []
    unmapped: list[str] = []
    for column in rows.frame.columns:
        if column in used:
            continue
        by_content = identified_by_content(rows.frame.get_column(column))
        kind = identified_by_name(column) or (by_content[0] if by_content else None)
        if kind is None:
            unmapped.append(column)
        else:
            stopped.append(StoppedColumn(column, kind))
    return tuple(stopped), tuple(unmapped)


def _hashed(keys: pl.Series, secret: bytes) -> pl.Series:
    """Hashed keys; an empty cell has none."""
    hashes = {k: person_key(secret, k) for k in keys.unique().to_list() if k}
    return keys.replace_strict(
        list(hashes), list(hashes.values()), default=None, return_dtype=pl.String
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
