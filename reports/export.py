"""Figures as PNG and SVG files, drawn by a local browser in a separate process.

All figures go through one browser session. The session runs in a subprocess with a
time limit, because a browser that hangs must never hang the report. Run as
``python -m reports.export JOB`` it draws the figures that a job file names.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["NO_BROWSER", "Drawing", "Exported", "export_figures", "find_browser"]

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)

NO_BROWSER = (
    "Figures were not written as PNG and SVG files, because no browser to draw them "
    "was found. Install Chromium or Google Chrome, or set BROWSER_PATH to one, and run "
    "this again; everything else is complete."
)

_RANDOM_ID = re.compile(r'<defs id="defs-([0-9a-f]{6})"')

_SECONDS_EACH, _SECONDS_TO_START = 3.0, 30.0


@dataclass(frozen=True)
class Drawing:
    """One file to draw.

    Attributes:
        figure: A plotly figure as plain data, with its width and height.
        path: The file; its ending says the format.
        scale: Pixels of the file per pixel of the figure, for PNG.
    """

    figure: dict[str, Any]
    path: Path
    scale: float = 1.0


@dataclass(frozen=True)
class Exported:
    """What was drawn.

    Attributes:
        files: Files that exist now.
        note: A plain sentence where something was not drawn; None where all was.
    """

    files: tuple[Path, ...]
    note: str | None = None


def find_browser() -> str | None:
    """Path of a local browser that can draw, or None.

    ``BROWSER_PATH`` comes first, then the usual names on the PATH.
    """
    chosen = os.environ.get("BROWSER_PATH")
    if chosen:
        return chosen if os.access(chosen, os.X_OK) else None
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def export_figures(
    drawings: Sequence[Drawing], *, timeout: float | None = None
) -> Exported:
    """Draw figures into files, all in one browser session.

    Never raises for a browser that is missing, fails or hangs: the note says so in
    a sentence, and what was drawn until then stays.

    Args:
        drawings: Files to draw; their folders exist.
        timeout: Seconds for all of them; by their number where None.

    Returns:
        The files that were drawn, and a note where some were not.
    """
    if not drawings:
        return Exported(files=())
    browser = find_browser()
    if browser is None:
        return Exported(files=(), note=NO_BROWSER)
    limit = timeout or _SECONDS_TO_START + _SECONDS_EACH * len(drawings)
    job = {
        "browser": browser,
        "drawings": [
            {"figure": d.figure, "path": str(d.path), "scale": d.scale}
            for d in drawings
        ],
    }
    with tempfile.TemporaryDirectory(prefix="lcwaves-export-") as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        problem = _run(file, limit=limit)
    drawn = tuple(d.path for d in drawings if _is_drawn(d.path))
    missing = len(drawings) - len(drawn)
    if not missing:
        return Exported(files=drawn)
    why = problem or "the browser could not draw them"
    return Exported(
        files=drawn,
        note=(
            f"{missing} of {len(drawings)} figure files were not written: {why}. "
            "Everything else is complete; run this again to try once more."
        ),
    )


def _run(job: Path, *, limit: float) -> str | None:
    """Run the drawing process; why it failed, or None."""
    # A new session, so that the browser's own children end with it.
    process = subprocess.Popen(  # noqa: S603 our own interpreter and module
        [sys.executable, "-m", "reports.export", str(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        code = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        return f"the browser did not finish within {limit:.0f} seconds"
    finally:
        _end(process)
    return None if code == 0 else "the browser stopped before it was done"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()


def _is_drawn(path: Path) -> bool:
    """A file that was only claimed is empty."""
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()
    return path.is_file()


def draw(job: Path) -> int:
    """Draw the figures of a job file; runs inside the subprocess.

    Args:
        job: JSON with ``browser`` and ``drawings``.

    Returns:
        Exit code: 0 where all figures were drawn.
    """
    import kaleido  # noqa: PLC0415 the caller's process never needs it

    content = json.loads(job.read_text(encoding="utf-8"))
    figures = [
        {
            "fig": d["figure"],
            "path": d["path"],
            "opts": {"format": Path(d["path"]).suffix[1:], "scale": d["scale"]},
        }
        for d in content["drawings"]
    ]
    for figure in figures:
        # Names of its own, because plotly.js would draw random ones.
        for i, trace in enumerate(figure["fig"]["data"]):
            trace["uid"] = f"trace{i}"
    # Without mathjax=False every page would ask a content network for it.
    errors = kaleido.write_fig_from_object_sync(
        figures,
        kopts={"path": content["browser"], "mathjax": False, "timeout": 60},
    )
    for figure in figures:
        if figure["opts"]["format"] == "svg":
            _with_fixed_ids(Path(figure["path"]))
    return 1 if errors else 0


def _with_fixed_ids(path: Path) -> None:
    """Give an SVG the same element ids each time; plotly.js draws them at random."""
    if not _is_drawn(path):
        return
    text = path.read_text(encoding="utf-8")
    found = _RANDOM_ID.search(text)
    if found:
        path.write_text(text.replace(found[1], "figure"), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(draw(Path(sys.argv[1])))
