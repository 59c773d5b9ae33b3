"""The store: immutable Parquet by content, a manifest, and study.duckdb from it.

The only module that knows DuckDB. Truth is ``store/<table>/<partition>/
<digest>.parquet``; study.duckdb is built anew from the manifest beside the old file
and swapped in, so readers never wait and never see half a table.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import duckdb
import polars as pl
from filelock import FileLock, Timeout

from data_contracts.errors import DataError, MachineError
from data_contracts.study import DATABASE, STORE
from data_contracts.tables import TABLES, Partition
from pipelines.manifest import Entry, Manifest, read_manifest, unwritable, write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WHOLE", "StudyReader", "StudyStore"]

WHOLE = "all"
"""Partition name of a table that is not partitioned."""

_LOCK_SECONDS = 60


class StudyStore:
    """Writes and reads the versions of one study's tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / STORE
        self.database = folder / DATABASE

    @property
    def manifest(self) -> Manifest:
        """The current manifest."""
        return read_manifest(self.root / "manifest.json")

    def put(
        self,
        table: str,
        partition: str,
        *,
        frame: pl.DataFrame,
        inputs: Mapping[str, str],
    ) -> Entry:
        """Store a frame as the current version of a table and partition.

        Args:
            table: Table name.
            partition: Wave, analysis year or ``WHOLE``.
            frame: Rows, already in their declared order.
            inputs: Digests of what it was made from.

        Returns:
            The manifest entry. The same rows give the same digest and file.

        Raises:
            MachineError: If the disk is full or may not be written; the manifest
                then still names the last version.
        """
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", statistics=True)
        content = buffer.getvalue()
        entry = Entry(
            table=table,
            partition=partition,
            digest=hashlib.sha256(content).hexdigest(),
            rows=frame.height,
            inputs=dict(sorted(inputs.items())),
        )
        path = self.root / entry.path
        if not path.exists():
            write_whole(path, content)
        with self._locked():
            current = self.manifest
            if current.entry(table, partition) != entry:
                self._swap(current.with_entry(entry))
        return entry

    def read(
        self,
        table: str,
        partitions: Iterable[str] | None = None,
        *,
        manifest: Manifest | None = None,
    ) -> pl.DataFrame | None:
        """Read the current (or pinned) version of a table.

        Args:
            table: Table name.
            partitions: Partitions to read; all of them by default.
            manifest: A pinned manifest instead of the current one.

        Returns:
            The partitions' rows one after another, or None where none is stored.

        Raises:
            DataError: If a stored file is missing or is not what it was.
        """
        wanted = None if partitions is None else set(partitions)
        entries = [
            e
            for e in (manifest or self.manifest).of(table)
            if wanted is None or e.partition in wanted
        ]
        if not entries:
            return None
        return pl.concat([self._checked(e) for e in entries])

    def keep(self, partitions: Collection[str]) -> None:
        """Leave out of the manifest what is neither one of these nor unpartitioned.

        The files stay, and so do pinned manifests that name them.
        """
        with self._locked():
            current = self.manifest
            kept = tuple(
                e for e in current.entries if e.partition in {*partitions, WHOLE}
            )
            if len(kept) != len(current.entries):
                self._swap(Manifest(entries=kept))

    def of(self, table: str) -> tuple[Entry, ...]:
        """Current versions of a table's partitions."""
        return self.manifest.of(table)

    def year_manifest(self, waves: Iterable[str]) -> Manifest:
        """Current versions of the core tables of these waves and of the rosters."""
        core = frozenset(
            t.name
            for t in TABLES.values()
            if t.partition is not Partition.ANALYSIS_YEAR
        )
        return self.manifest.only(core, frozenset({*waves, WHOLE}))

    def pin_year(self, waves: Iterable[str]) -> Manifest:
        """Keep the year's manifest for good, in a file named by its digest."""
        manifest = self.year_manifest(waves)
        path = self.root / "manifests" / f"{manifest.digest}.json"
        if not path.exists():
            write_whole(path, manifest.to_bytes())
        return manifest

    def pinned(self, digest: str) -> Manifest:
        """A manifest that was kept.

        Raises:
            DataError: If no such manifest was kept.
        """
        path = self.root / "manifests" / f"{digest}.json"
        if not path.exists():
            raise DataError(f"found no manifest {digest[:12]} in {path.parent}.")
        return read_manifest(path)

    def read_pinned(
        self, table: str, partitions: Iterable[str], digest: str
    ) -> pl.DataFrame | None:
        """Rows of a table as a pinned manifest, named by its digest, has them."""
        whole = TABLES[table].partition is Partition.NONE
        return self.read(
            table, [WHOLE] if whole else partitions, manifest=self.pinned(digest)
        )

    def publish(self) -> Manifest:
        """Build study.duckdb from the manifest and swap it in.

        Returns:
            The manifest that the file now shows.

        Raises:
            MachineError: If the disk is full or may not be written; the last
                published file stays.
        """
        with self._locked():
            manifest = self.manifest
            new = self.folder / f".{DATABASE}.{os.getpid()}.new"
            leftovers = (new, new.with_name(f"{new.name}.wal"))
            try:
                self._build(new, manifest)
                with new.open("rb") as file:
                    os.fsync(file.fileno())
                new.replace(self.database)
            except OSError as error:
                raise unwritable(self.database, error) from None
            except duckdb.Error as error:
                raise MachineError(
                    f"{self.database}: could not be built ({type(error).__name__}); "
                    "expected space and permission to write there. The last published "
                    "file is unchanged: free space or mend the permissions and run "
                    "again."
                ) from None
            finally:
                for path in leftovers:
                    path.unlink(missing_ok=True)
        return manifest

    def _build(self, path: Path, manifest: Manifest) -> None:
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            for table in TABLES.values():
                files = [str(self.root / e.path) for e in manifest.of(table.name)]
                if files:
                    connection.execute(
                        f'CREATE TABLE "{table.name}" AS '  # noqa: S608 declared name
                        "SELECT * FROM read_parquet(?)",
                        [files],
                    )
                else:
                    nothing = pl.DataFrame(schema=table.schema).to_arrow()
                    connection.register("nothing", nothing)
                    connection.execute(
                        f'CREATE TABLE "{table.name}" AS SELECT * FROM nothing'  # noqa: S608
                    )
                    connection.unregister("nothing")
                connection.execute(
                    f"COMMENT ON TABLE \"{table.name}\" IS '{_quoted(table.title)}'"
                )
                for column in table.columns:
                    connection.execute(
                        f'COMMENT ON COLUMN "{table.name}"."{column.name}" '
                        f"IS '{_quoted(column.meaning)}'"
                    )
            entries = pl.DataFrame(
                [(e.table, e.partition, e.digest, e.rows) for e in manifest.entries],
                schema={
                    "table_name": pl.String,
                    "partition": pl.String,
                    "digest": pl.String,
                    "n_rows": pl.Int64,
                },
                orient="row",
            ).to_arrow()
            connection.register("entries", entries)
            connection.execute("CREATE TABLE provenance AS SELECT * FROM entries")
            connection.unregister("entries")

    def _checked(self, entry: Entry) -> pl.DataFrame:
        path = self.root / entry.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{STORE}/{entry.path}: found no readable file ({error.strerror}) for "
                f"table {entry.table}, {entry.partition}. Materialize it again."
            ) from None
        if hashlib.sha256(content).hexdigest() != entry.digest:
            raise DataError(
                f"{STORE}/{entry.path}: the file is not what it was when it was "
                "stored. Remove it and materialize the wave again."
            )
        return pl.read_parquet(io.BytesIO(content))

    def _swap(self, manifest: Manifest) -> None:
        write_whole(self.root / "manifest.json", manifest.to_bytes())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.root / ".lock", timeout=_LOCK_SECONDS)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise MachineError(
                f"{self.root}: another run has held the store for {_LOCK_SECONDS} "
                "seconds. Let it finish, then run again."
            ) from None
        except OSError as error:
            raise unwritable(self.root, error) from None
        try:
            yield
        finally:
            lock.release()


def _quoted(text: str) -> str:
    return text.replace("'", "''")


class StudyReader:
    """A read-only view of a published study.duckdb.

    Question: what do the tidy tables hold? Works while the pipeline runs: a new file
    is swapped in beside open readers, who keep what they opened.

    Args:
        database: Path of study.duckdb.
        year: Analysis year; tables by wave then hold the waves up to it alone.
    """

    def __init__(self, database: Path, *, year: str | None = None) -> None:
        if not database.is_file():
            raise DataError(
                f"{database}: found no published study; expected study.duckdb. Run "
                "`lcwaves run` first."
            )
        self.year = year
        # An own in-memory database: DuckDB would hand out a cached connection to
        # the file that stood at this path before the last swap.
        self._connection = duckdb.connect()
        self._connection.execute(
            f"ATTACH '{_quoted(str(database))}' AS study (READ_ONLY)"
        )
        self._connection.execute("USE study")
        if year is not None:
            self._restrict(year)

    def _restrict(self, year: str) -> None:
        self._connection.execute("SET VARIABLE year = ?", [year])
        waves = (
            "(SELECT wave FROM study.wave WHERE academic_year <= getvariable('year'))"
        )
        for table in TABLES.values():
            if table.partition is Partition.NONE:
                continue
            if table.partition is Partition.ANALYSIS_YEAR:
                kept = "analysis_year = getvariable('year')"
            else:
                column = "source" if "source" in table.names else "wave"
                kept = f"{column} IN {waves}"
            # Every name here is declared in our own tables.
            self._connection.execute(
                f'CREATE TEMP VIEW "{table.name}" AS SELECT * '  # noqa: S608
                f'FROM study."{table.name}" WHERE {kept}'
            )

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(TABLES)

    def table(self, name: str) -> pl.DataFrame:
        """A whole table as a polars frame.

        Raises:
            DataError: If there is no such table.
        """
        if name not in TABLES:
            raise DataError(
                f"found no table {name!r}; expected one of {', '.join(TABLES)}."
            )
        return self.sql(f'SELECT * FROM "{name}"')  # noqa: S608 a declared name

    def pandas(self, name: str) -> pd.DataFrame:
        """A whole table as a pandas frame."""
        return self.table(name).to_pandas()

    def sql(self, query: str) -> pl.DataFrame:
        """The answer to an SQL query, as a polars frame.

        Raises:
            DataError: If the query is not valid or tries to write.
        """
        try:
            frame: pl.DataFrame = self._connection.sql(query).pl()
        except duckdb.Error as error:
            raise DataError(f"the query failed: {_said(error)}") from None
        return frame

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _said(error: duckdb.Error) -> str:
    """What may be repeated of an error: words about the query, never a value."""
    text = str(error).splitlines()[0]
    if "read-only" in text:
        return "a study is read-only; a query may only read."
    about_the_query = (
        duckdb.ParserException,
        duckdb.CatalogException,
        duckdb.BinderException,
    )
    return text if isinstance(error, about_the_query) else type(error).__name__
