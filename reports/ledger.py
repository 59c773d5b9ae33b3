"""The release ledger: one line for everything that was published, append-only.

Kept apart from what is published, in files that only their owner reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reports.disclosure import canonical

__all__ = ["LEDGER_FILE", "append_entry"]

LEDGER_FILE = "ledger.jsonl"


def append_entry(folder: Path, entry: Mapping[str, str | int]) -> bool:
    """Append one line to a ledger, durably.

    An entry equal to the last one is not repeated: it is what an earlier attempt
    wrote before it failed.

    Args:
        folder: ``ledger/<audience>``; made with mode 0700 where it is missing.
        entry: What was published.

    Returns:
        Whether a line was written.

    Raises:
        OSError: If the ledger cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    path = folder / LEDGER_FILE
    line = canonical(dict(entry))
    written = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if written and written[-1] == line:
        return False
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True
