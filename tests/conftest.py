"""What all tests share: private keys in a place of their own, no real home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run of CI: a failure there can be made again.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def keys_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hashing keys of the tests never mix with the user's own."""
    folder = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LCWAVES_KEYS", str(folder))
        patch.delenv("LCWAVES_STUDY", raising=False)
        yield folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The founders' material beside the project, where it is there."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED


def pytest_report_header() -> str:
    """Say at the top what these tests can and cannot use."""
    there = "there" if SHARED.is_dir() else "not there: tests on real data are left out"
    return f"lcwaves: ../shared is {there}"
