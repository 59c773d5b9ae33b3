"""Speed and memory beside lme4 and mixedlm; `make benchmarks` writes SPEED.md.

No test depends on a time: this command measures, and the page says what was reached.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.markdown import table
from tests.benchmarks.r_program import run_r, versions_of_r
from tests.oracles.designs import SHARED

__all__ = ["HEADING", "PAGE", "VALIDATION", "main", "with_speed"]

HERE = Path(__file__).parent
PAGE = HERE / "SPEED.md"
VALIDATION = HERE.parents[1] / "analyses" / "lmm" / "VALIDATION.md"
HEADING = "## 4. Speed"


@dataclass(frozen=True)
class Line:
    """One row of the table.

    Attributes:
        key: Name of the work in `speed_work`, `speed.R` and `speed_mixedlm`.
        work: What is timed.
        data: Shared file that is read; none when the data are drawn.
        target: How many times faster than R it is to be, or None.
        limits: Seconds and bytes not to exceed, where there is no R time.
        in_mixedlm: Whether the package does it.
    """

    key: str
    work: str
    data: str | None
    target: float | None
    limits: tuple[float, float] | None = None
    in_mixedlm: bool = False


LCSTUDY, INSTEVAL = "lcstudy.csv", "data_InstEval.csv"
LINES = (
    Line("fit", "lcstudy, REML fit", LCSTUDY, 30.0, in_mixedlm=True),
    Line("kenward_roger", "lcstudy, Kenward-Roger covariance", LCSTUDY, 200.0),
    Line("refits", "lcstudy, 1,000 new responses", LCSTUDY, 50.0, in_mixedlm=True),
    Line("crossed", "InstEval, REML fit", INSTEVAL, 10.0, in_mixedlm=True),
    Line("profile", "lcstudy, profile intervals", LCSTUDY, 50.0),
    Line("million", "1,000,000 rows, slope", None, None, (5.0, 2e9)),
)

TEXT = """# Speed and memory

Written by `make benchmarks` (`python -m tests.benchmarks.speed`); not edited by hand.
lcwaves {own}, Python {python}, numpy {numpy};
{r};
{mixedlm}. {cores} cores.

Every row is a process of its own, one after the other in the same run; only the call is
timed, not starting and reading. Seconds of wall time: the shortest of 15 (fit), 5
(Kenward-Roger), 3 (InstEval), 2 (profile) or 1 for ours, of 5 (fit) or 1 for R. R's
and mixedlm's 1,000 fits are 20 fresh fits of simulated responses, times 50 (lme4's
`refit()` can stop too early). Peak memory is that of the whole process, its libraries
and data included. lcstudy: 7,513 rows, 1,473 students with a slope, 11 + 88 groups;
profile intervals are those of its five variance parameters and sigma. InstEval: 73,421
rows, three crossed factors. 1,000,000 rows: 200,000 students with a slope in 1,600
communities in 150 schools. Times vary with what else the machine does.

{table}
{verdict}
"""


def seconds_text(value: float | None) -> str:
    """Three digits; a dash where nothing was measured."""
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def with_speed(validation: str, speed: str) -> str:
    """The validation page with the table of the page of speed as its last section."""
    found = speed[speed.index("| work |") :].rstrip()
    start = validation[: validation.index(HEADING)]
    how = "How it was measured: `tests/benchmarks/SPEED.md`."
    return f"{start}{HEADING}\n\n{how}\n\n{found}\n"


def _ours(line: Line) -> tuple[float, float, bool]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.speed_work", line.key],
        cwd=HERE.parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, peak, converged = json.loads(done.stdout)
    return float(seconds), float(peak), bool(converged)


def _r(line: Line) -> tuple[float | None, float | None]:
    if versions_of_r() is None or line.target is None:
        return None, None
    path = SHARED / "oracles" / str(line.data)
    seconds, peak = run_r("speed.R", line.key, path).split()
    return float(seconds), float(peak)


def _mixedlm(line: Line, python: str | None) -> float | None:
    if python is None or not line.in_mixedlm:
        return None
    path = SHARED / "oracles" / str(line.data)
    done = subprocess.run(
        [python, str(HERE / "speed_mixedlm.py"), line.key, str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return float(done.stdout) if done.returncode == 0 else None


def _row(line: Line, python: str | None) -> tuple[list[str], bool]:
    seconds, peak, converged = _ours(line)
    r_seconds, r_peak = _r(line)
    theirs = _mixedlm(line, python)
    ratio, target, reached = "-", "-", converged
    if line.limits is not None:
        target = f"{line.limits[0]:.0f} s, {line.limits[1] / 1e9:.0f} GB"
        reached = converged and seconds <= line.limits[0] and peak <= line.limits[1]
    elif line.target is not None:
        target = f"1/{line.target:.0f}"
        if r_seconds is not None:
            ratio = f"1/{r_seconds / seconds:.0f}"
            reached = converged and seconds * line.target <= r_seconds
    cells = [
        line.work, seconds_text(seconds), f"{peak / 1e9:.2f}", seconds_text(r_seconds),
        "-" if r_peak is None else f"{r_peak / 1e9:.2f}", seconds_text(theirs), ratio,
        target, "yes" if reached else "**no**",
    ]  # fmt: skip
    sys.stdout.write("  ".join(cells) + "\n")
    return cells, reached


def _name_of(python: str | None) -> str:
    if python is None:
        return "mixedlm not timed (name a Python that has it: `--mixedlm python`)"
    ask = "from importlib.metadata import version; print(version('mixedlm'))"
    done = subprocess.run(
        [python, "-c", ask], capture_output=True, text=True, check=True
    )
    return f"mixedlm {done.stdout.strip()}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure row by row, write the page."""
    parser = argparse.ArgumentParser(description="Write the page of speed and memory")
    parser.add_argument("--mixedlm", help="a Python that has the package mixedlm")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args(arguments)
    shared = (SHARED / "oracles").exists()
    lines = [line for line in LINES if line.data is None or shared]
    found = [_row(line, given.mixedlm) for line in lines]
    short = [cells[0] for cells, reached in found if not reached]
    verdict = f"Fall short of the target: {'; '.join(short)}."
    if not short:
        verdict = "Every row reaches its target."
    if not shared:
        verdict += " The shared folder was not there: rows on its data are left out."
    head = (
        "work", "ours, s", "ours, GB", "lme4 / pbkrtest, s", "R, GB", "mixedlm, s",
        "ours / R", "target", "reached",
    )  # fmt: skip
    page = TEXT.format(
        own=version("lcwaves"), python=platform.python_version(),
        numpy=version("numpy"), r=versions_of_r() or "R was not there",
        mixedlm=_name_of(given.mixedlm), cores=os.cpu_count(),
        table=table(head, [cells for cells, _ in found]), verdict=verdict,
    )  # fmt: skip
    given.page.write_text(page.rstrip() + "\n", "utf-8")
    if given.page == PAGE and VALIDATION.exists():
        text = with_speed(VALIDATION.read_text("utf-8"), page)
        VALIDATION.write_text(text, "utf-8")
    sys.stdout.write(f"Written: {given.page.name}\n")


if __name__ == "__main__":
    main()
