"""What every asset is given: the study, its folder, its store, a voice.

The store is a protocol here because storage is wired above, in ``pipelines``.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from data_contracts.study import Study, Wave
from reports.bundle import FigureFiles

__all__ = ["Materialized", "PinnedManifest", "Store", "StudyContext"]


class StoredEntry(Protocol):
    """One current table version."""

    @property
    def partition(self) -> str:
        """Wave, analysis year or the name of an unpartitioned table's only part."""

    @property
    def digest(self) -> str:
        """SHA-256 of the stored file."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Digests of what it was made from."""


class PinnedManifest(Protocol):
    """The versions that one analysis uses."""

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest; names the kept copy."""


class Store(Protocol):
    """What assets need of the store."""

    def of(self, table: str) -> tuple[StoredEntry, ...]:
        """Current versions of a table."""

    def read(
        self, table: str, partitions: Iterable[str] | None = None
    ) -> pl.DataFrame | None:
        """Current rows of a table."""

    def pin_year(self, waves: Iterable[str]) -> PinnedManifest:
        """Pin the current versions of the rosters and of these waves."""

    def read_pinned(
        self, table: str, partitions: Iterable[str], digest: str
    ) -> pl.DataFrame | None:
        """Rows of a table as a pinned manifest, named by its digest, has them."""

    def publish(self) -> object:
        """Build study.duckdb anew and swap it in."""


@dataclass(frozen=True)
class Materialized:
    """A table to be stored, with the digests of what it was made from."""

    frame: pl.DataFrame
    inputs: Mapping[str, str]


@dataclass(frozen=True)
class StudyContext:
    """One study, opened for a run.

    Attributes:
        folder: Study folder.
        study: The study file, checked.
        secret: Key of the person hash.
        secret_name: Its fingerprint.
        store: The study's store.
        code_version: Version of lcwaves.
        code_digest: Digest of the project's own source.
        packages: Versions of the packages that touch a number.
        study_digest: SHA-256 of study.yaml.
        progress: Says one line of progress.
        figures: Which figures are written as files.
    """

    folder: Path
    study: Study
    secret: bytes
    secret_name: str
    store: Store
    code_version: str
    code_digest: str
    packages: Mapping[str, str]
    study_digest: str
    progress: Callable[[str], None]
    figures: FigureFiles = "all"

    def wave_declaration(self, wave: Wave) -> str:
        """Digest of all that the study file says about reading and scoring a wave."""
        declared = self.study.model_dump(
            mode="json",
            include={"key", "instruments", "covariates", "class_years", "campuses",
                     "communities", "id"},
        )  # fmt: skip
        return _digest({**declared, "wave": wave.model_dump(mode="json")})

    def roster_declaration(self) -> str:
        """Digest of all that the study file says about the rosters."""
        return _digest(
            self.study.model_dump(
                mode="json",
                include={"rosters", "communities", "class_years", "campuses",
                         "academic_years", "id"},
            )
        )  # fmt: skip

    def analysis_declaration(self) -> str:
        """Digest of all that the study file says about analysis and release."""
        return _digest(self.study.model_dump(mode="json", exclude={"waves", "rosters"}))

    def roster_inputs(self) -> dict[str, str]:
        """What tables of people are made from, besides their files.

        Stored with them, and held against them when their freshness is asked.
        """
        return {
            "declaration": self.roster_declaration(),
            "key": self.secret_name,
            "code": self.code_digest,
        }

    def year_inputs(self, manifest: str) -> dict[str, str]:
        """What a year's results are made from, given their manifest's digest."""
        return {
            "manifest": manifest,
            "declaration": self.analysis_declaration(),
            "code": self.code_digest,
        }

    def roster_digest(self) -> str:
        """Digest of the people that the core layer knows."""
        return _digest([e.digest for e in self.store.of("participant")])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
