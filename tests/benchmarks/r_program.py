"""R, where it is installed: running a script and the versions of its packages."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["run_r", "versions_of_r"]

HERE = Path(__file__).parent
VERSIONS = (
    'cat(R.version$major, ".", R.version$minor, sep = "");'
    'for (p in c("lme4", "lmerTest", "pbkrtest"))'
    ' cat(",", p, as.character(packageVersion(p)))'
)


def run_r(script: str, *arguments: str | Path) -> str:
    """What a script of this folder prints."""
    command = ["Rscript", str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


@cache
def versions_of_r() -> str | None:
    """R with lme4, lmerTest and pbkrtest; None where one of them is missing."""
    program = shutil.which("Rscript")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-e", VERSIONS], capture_output=True, text=True, check=False
    )
    return "R " + done.stdout.replace(" ,", ",") if done.returncode == 0 else None
