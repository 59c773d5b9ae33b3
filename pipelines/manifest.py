"""The manifest: which immutable version of every table is the current one.

A manifest is a small file that is only ever swapped whole. Pinned copies, named by
their digest, let last year's numbers be made again after any correction.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.errors import DataError, MachineError

__all__ = ["Entry", "Manifest", "read_manifest", "write_whole"]

SCHEMA_VERSION = 1


class Entry(BaseModel):
    """The current version of one table and partition.

    Attributes:
        table: Table name.
        partition: Wave or analysis year; ``all`` for an unpartitioned table.
        digest: SHA-256 of its Parquet file.
        rows: Number of rows.
        inputs: Digests of what it was made from, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str
    partition: str
    digest: str
    rows: int
    inputs: dict[str, str]

    @property
    def path(self) -> Path:
        """Its file, relative to the store folder."""
        return Path(self.table) / self.partition / f"{self.digest}.parquet"


class Manifest(BaseModel):
    """All current versions, in the order of table and partition."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    entries: tuple[Entry, ...] = ()

    def entry(self, table: str, partition: str) -> Entry | None:
        """The current version of a table and partition, or None."""
        for e in self.entries:
            if (e.table, e.partition) == (table, partition):
                return e
        return None

    def of(self, table: str) -> tuple[Entry, ...]:
        """Current versions of a table's partitions, in partition order."""
        return tuple(e for e in self.entries if e.table == table)

    def with_entry(self, entry: Entry) -> Manifest:
        """A manifest in which one entry is replaced or added."""
        others = [
            e
            for e in self.entries
            if (e.table, e.partition) != (entry.table, entry.partition)
        ]
        ordered = sorted([*others, entry], key=lambda e: (e.table, e.partition))
        return Manifest(entries=tuple(ordered))

    def only(self, tables: frozenset[str], partitions: frozenset[str]) -> Manifest:
        """The part of the manifest that an analysis used."""
        return Manifest(
            entries=tuple(
                e
                for e in self.entries
                if e.table in tables and e.partition in partitions
            )
        )

    def to_bytes(self) -> bytes:
        """The manifest as it is stored: the same entries give the same bytes."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the stored bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; a store that has none yet is empty.

    Raises:
        DataError: If the file is not a manifest of this version.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Manifest()
    except OSError as error:
        raise MachineError(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError:
        raise DataError(
            f"{path}: found a file that is not a store manifest; expected one written "
            "by lcwaves. Restore the study folder from your backup."
        ) from None
    if manifest.schema_version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: found a store of schema version {manifest.schema_version}; this "
            f"lcwaves knows up to {SCHEMA_VERSION}. Upgrade lcwaves."
        )
    return manifest


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old or the new one, never a part.

    Raises:
        MachineError: If the disk is full or may not be written; what stood there
            before stays.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> MachineError:
    """Say that a file could not be written, why, and that nothing was lost."""
    return MachineError(
        f"{path}: could not be written ({error.strerror or error}); expected space and "
        "permission to write there. What stood there before is unchanged: free space "
        "or mend the permissions and run again."
    )
