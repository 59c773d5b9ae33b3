"""Where a report's numbers come from: digests of data, code and packages.

Holds no clock: the same inputs give the same bytes.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Provenance", "WaveFile"]


class WaveFile(BaseModel):
    """One wave file as it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wave: str
    file: str
    file_format: str
    digest: str


class Provenance(BaseModel):
    """Digests and versions behind one report.

    Attributes:
        manifest_digest: Digest of the store manifest that the analysis pinned.
        study_digest: Digest of study.yaml.
        code_version: Version of lcwaves.
        code_digest: Digest of the project's own source files.
        packages: Versions of the packages that touch a number, by name.
        waves: The wave files, in order.
        seed: Seed of anything random, or None where nothing is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest_digest: str
    study_digest: str
    code_version: str
    code_digest: str
    packages: dict[str, str]
    waves: tuple[WaveFile, ...]
    seed: int | None = None
