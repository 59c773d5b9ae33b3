"""The ``lcwaves`` command.

Options and words only: what a verb does stands in the modules that it calls. They
are imported inside the verbs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from data_contracts.errors import DataError, MachineError
from pipelines.settings import DEFAULT_STUDY, study_folder
from pipelines.terminal import Terminal

__all__ = ["main"]

study_option = click.option(
    "--study",
    "study",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Study folder. Default: LCWAVES_STUDY, else studies/demo.",
)
year_option = click.option(
    "--year",
    metavar="YEAR",
    required=True,
    help="Academic year of the analysis, such as 2025-26.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lcwaves")
def cli() -> None:
    """Survey waves of learning communities, from the files to a safe report.

    A study lives in one folder: study.yaml says what the data mean, raw/ holds the
    files. A first look:

    \b
      lcwaves demo                  the whole job on an invented study
      lcwaves new-study DIR         start your own
      lcwaves check --study DIR     what is right and wrong with it
      lcwaves run --study DIR --year 2025-26
      lcwaves release --study DIR --year 2025-26
    """  # noqa: D301 click reads the backspace


@cli.command()
@click.option(
    "--study",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_STUDY,
    help="Where the demo study is written. Default: studies/demo.",
)
@click.option("--seed", default=2026, show_default=True, help="Seed of the study.")
def demo(study: Path, seed: int) -> None:
    """Run the whole job on an invented study and say where the report is."""
    from data_contracts.synthetic import write_synthetic_study  # noqa: PLC0415
    from pipelines.runs import StudyRun  # noqa: PLC0415
    from reports.bundle import promote_draft  # noqa: PLC0415

    terminal = Terminal()
    folder = study_folder(study)
    terminal.progress("writing an invented study")
    write_synthetic_study(folder, seed=seed)
    run = StudyRun(folder, progress=terminal.progress, figures="preview")
    try:
        year = run.place.study.academic_years[-1]
        run.year(year)
    finally:
        run.close()
    terminal.progress("releasing the draft")
    published = promote_draft(folder, year, progress=terminal.progress)
    if published.note:
        terminal.say(published.note)
    terminal.say(f"Report: {published.page}")


@cli.command()
@study_option
@year_option
@click.option("--everything", is_flag=True, help="Also what is up to date.")
@click.option("--no-figures", is_flag=True, help="No figure files, the page alone.")
def run(study: Path | None, year: str, *, everything: bool, no_figures: bool) -> None:
    """Bring a year's draft report up to date.

    Reads rosters and waves that are new or changed, checks and scores them, fits
    the models and writes the draft. A draft is for the team; `lcwaves release`
    makes it public.
    """
    from pipelines.runs import StudyRun  # noqa: PLC0415

    terminal = Terminal()
    opened = StudyRun(
        study_folder(study),
        progress=terminal.progress,
        figures="none" if no_figures else "all",
    )
    try:
        done = opened.year(year, everything=everything)
    finally:
        opened.close()
    if not done.analysed:
        terminal.say("Nothing has changed; the draft is up to date.")
    for wave in done.missing:
        terminal.say(f"No file yet for wave {wave}: not in this report.")
    terminal.say(f"Draft: {done.draft / 'index.html'}")


@cli.command()
@study_option
@year_option
@click.option("--no-figures", is_flag=True, help="No figure files, the page alone.")
def release(study: Path | None, year: str, *, no_figures: bool) -> None:
    """Make a year's draft public, exactly as it is.

    The published report goes to published/YEAR; the ledger notes it. Releasing the
    same draft again changes nothing.
    """
    from data_contracts.study_file import load_study  # noqa: PLC0415
    from reports.bundle import promote_draft  # noqa: PLC0415

    terminal = Terminal()
    folder = study_folder(study)
    load_study(folder)
    published = promote_draft(
        folder,
        year,
        figures="none" if no_figures else "all",
        progress=terminal.progress,
    )
    terminal.say(published.message)
    if published.note:
        terminal.say(published.note)
    terminal.say(f"Report: {published.page}")


@cli.command()
@study_option
def check(study: Path | None) -> None:
    """Check the study file and every wave without running anything."""
    from pipelines.checking import check_study  # noqa: PLC0415

    terminal = Terminal()
    found = check_study(study_folder(study))
    terminal.study_check(found)
    if found.errors:
        sys.exit(found.errors[0].exit_code)
    terminal.say("A run would find nothing in its way.")


@cli.command()
@study_option
def status(study: Path | None) -> None:
    """Say what is materialized, what is stale and what was set aside."""
    from pipelines.reporting import show_status  # noqa: PLC0415

    show_status(study_folder(study), Terminal())


@cli.command("new-study")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def new_study(folder: Path) -> None:
    """Make a study folder with a commented study.yaml to fill in."""
    from importlib import resources  # noqa: PLC0415

    terminal = Terminal()
    target = study_folder(folder)
    text = (
        resources.files("data_contracts.studies")
        .joinpath("new_study.yaml")
        .read_text("utf-8")
    )
    try:
        (target / "raw" / "rosters").mkdir(parents=True, exist_ok=True)
        with (target / "study.yaml").open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DataError(
            f"{target}: found a study.yaml already; expected a new folder. Nothing "
            "was changed."
        ) from None
    except OSError as error:
        raise MachineError(
            f"{target}: cannot be made ({error.strerror}); expected permission to "
            "write there."
        ) from None
    terminal.say(f"Fill in {target / 'study.yaml'}, put the files under raw/, then:")
    terminal.say(f"  lcwaves check --study {folder}")


@cli.command("new-notebook")
@click.argument("title")
def new_notebook(title: str) -> None:
    """Write a notebook under analyses/notebooks, ready to run."""
    from assets.notebooks import FOLDER  # noqa: PLC0415
    from pipelines.notebook_template import new_notebook as write  # noqa: PLC0415

    path = write(title, FOLDER)
    terminal = Terminal()
    terminal.say(f"Notebook: {path}")
    terminal.say("Open it in Jupyter or VS Code, or run it for a year:")
    terminal.say(f"  lcwaves notebook {path.stem} --year 2025-26")


@cli.command()
@click.argument("name")
@study_option
@year_option
def notebook(name: str, study: Path | None, year: str) -> None:
    """Run one notebook on a year's published tables and keep its HTML."""
    from assets.notebooks import notebook_files  # noqa: PLC0415
    from pipelines.runs import StudyRun  # noqa: PLC0415

    known = [p.stem for p in notebook_files()]
    if name not in known:
        raise DataError(
            f"found no notebook {name!r}; expected one of {', '.join(known)}."
        )
    terminal = Terminal()
    opened = StudyRun(study_folder(study), progress=terminal.progress)
    try:
        html = opened.notebook(name, year)
    finally:
        opened.close()
    terminal.say(f"Internal page: {html}")


@cli.command()
@study_option
@click.option("--port", default=3000, show_default=True, help="Port of the UI.")
def ui(study: Path | None, port: int) -> None:
    """Open the Dagster UI of a study, on this machine alone."""
    from pipelines.runs import StudyRun  # noqa: PLC0415
    from pipelines.settings import dagster_home  # noqa: PLC0415

    folder = study_folder(study)
    StudyRun(folder).close()  # a check of the study file, and its partitions
    os.environ["LCWAVES_STUDY"] = str(folder)
    os.environ["DAGSTER_HOME"] = str(dagster_home(folder))
    Terminal().say(f"The UI of {folder} opens at http://127.0.0.1:{port}")
    workspace = str(Path(__file__).resolve().parent.parent / "workspace.yaml")
    command = [sys.executable, "-m", "dagster", "dev", "-w", workspace]
    os.execv(  # noqa: S606 our own interpreter with our own arguments
        sys.executable, [*command, "-h", "127.0.0.1", "-p", str(port)]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors are words and an exit code, not a traceback."""
    try:
        cli.main(arguments, prog_name="lcwaves", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        Terminal().progress("stopped; what was there before stays")
        sys.exit(130)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except Exception as error:  # noqa: BLE001 the last place where words are found
        sys.exit(Terminal().error(error))
