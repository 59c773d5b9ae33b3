"""Students' notebooks as assets: each run on the published tables, its HTML kept.

A notebook is a percent script in ``analyses/notebooks``. It runs in a process of
its own, sees the read-only snapshot for a year, and its executed HTML stays inside
the study, marked as internal.
"""

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from assets.context import StudyContext
from assets.declared import guarded
from assets.partitions import ANALYSIS_YEARS
from data_contracts.errors import DataError

__all__ = [
    "FOLDER",
    "notebook_assets",
    "notebook_files",
    "notebook_page",
    "run_notebook",
]

FOLDER = Path(__file__).resolve().parent.parent / "analyses" / "notebooks"
CELL_SECONDS = 600
PRIVATE = 0o700

_INTERNAL = (
    '<div role="note" style="background:#fde8c8;color:#3a2500;padding:.75rem 1rem;'
    'font:16px Arial,sans-serif">Internal: made from unreleased data. Stays inside '
    "the study; results leave through the release gate alone.</div>"
)


def notebook_files() -> tuple[Path, ...]:
    """The notebooks, by name."""
    return tuple(
        sorted(p for p in FOLDER.glob("*.py") if re.match(r"[a-z]", p.name))
    )  # fmt: skip


def notebook_page(study: Path, name: str, *, year: str) -> Path:
    """Where a notebook's executed page lies: inside the study, never bundled."""
    return study / "store" / "notebooks" / year / f"{name}.html"


def run_notebook(script: Path, *, study: Path, year: str) -> Path:
    """Run a notebook on a study's published tables and keep its HTML.

    Args:
        script: Percent script.
        study: Study folder.
        year: Analysis year; the notebook sees the waves up to it.

    Returns:
        The HTML file, inside the study and readable by its owner alone.

    Raises:
        DataError: If a cell fails; says which cell and what kind of error.
    """
    # Imported here: only a run of a notebook should pay for these.
    import jupytext  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415
    from nbclient.exceptions import CellExecutionError  # noqa: PLC0415
    from nbconvert import HTMLExporter  # noqa: PLC0415
    from traitlets.config import Config  # noqa: PLC0415

    notebook = jupytext.read(script, fmt="py:percent")
    # The script names the kernel of whoever wrote it; ours runs it.
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    environment = {
        **os.environ,
        "LCWAVES_STUDY": str(study),
        "LCWAVES_YEAR": year,
        "PYTHONPATH": os.pathsep.join(
            [str(FOLDER.parent.parent), os.environ.get("PYTHONPATH", "")]
        ).rstrip(os.pathsep),
    }
    with tempfile.TemporaryDirectory(prefix="lcwaves") as sockets:
        settings = Config()
        if sys.platform != "win32":
            # Over TCP other users of the machine could listen to the kernel.
            settings.ConnectionFileMixin.transport = "ipc"
            settings.ConnectionFileMixin.ip = str(Path(sockets) / "kernel")
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            config=settings,
            resources={"metadata": {"path": str(FOLDER)}},
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise _failed(script, notebook, kind=error.ename) from None
    # nbconvert would load these from the network; pages stay offline.
    exporter = HTMLExporter(
        embed_images=True,
        exclude_raw=True,  # the front matter
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
    )
    html, _ = exporter.from_notebook_node(notebook)
    html = re.sub(r'<script[^>]+src="(https?://[^"]*)?"[^>]*>\s*</script>', "", html)
    html = re.sub(r"(<body[^>]*>)", rf"\1{_INTERNAL}", html, count=1)
    target = notebook_page(study, script.stem, year=year)
    for folder in (target.parent.parent, target.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        folder.chmod(PRIVATE)
    temporary = target.with_suffix(".new")
    temporary.write_text(html, "utf-8")
    temporary.chmod(0o600)
    temporary.replace(target)
    return target


def _failed(script: Path, notebook: Any, *, kind: str) -> DataError:
    """Say which code cell stopped; a cell is counted once it has begun."""
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    begun = sum(1 for c in cells if c.get("execution_count") or c.get("outputs"))
    return DataError(
        f"notebook {script.name}, code cell {begun} of {len(cells)}: stopped with "
        f"{kind}. Open the notebook and run that cell; its message is not repeated "
        "here because it may quote data."
    )


def notebook_assets() -> list[dg.AssetsDefinition]:
    """One asset a notebook, named ``out_notebook_<file name>``."""
    return [_notebook_asset(path) for path in notebook_files()]


def _notebook_asset(path: Path) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"out_notebook_{path.stem}",
        partitions_def=ANALYSIS_YEARS,
        deps=["out_database"],
        group_name="notebooks",
        kinds={"jupyter"},
        tags={"layer": "out"},
        description=f"The notebook {path.name}, run on the published tables of a year.",
        code_version=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
    )
    @guarded
    def notebook(
        context: dg.AssetExecutionContext, place: dg.ResourceParam[StudyContext]
    ) -> Iterator[dg.MaterializeResult[None]]:
        year = context.partition_key
        place.progress(f"{year}: running {path.name}")
        html = run_notebook(path, study=place.folder, year=year)
        yield dg.MaterializeResult(metadata={"html": dg.MetadataValue.path(str(html))})

    return notebook
