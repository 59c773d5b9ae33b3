"""Times of the PyPI package mixedlm, run by a Python that has it.

No part of lcwaves: `python speed_mixedlm.py row file.csv` prints the seconds.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable

import pandas as pd


def seconds(work: Callable[[], object], n: int = 1) -> float:
    """Shortest of n times."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measured(row: str, path: str) -> float:
    """Seconds of one row of the table."""
    # Imported by name: the package is not among lcwaves' own.
    lmer = importlib.import_module("mixedlm").lmer
    d = pd.read_csv(path)
    if row == "crossed":
        for group in ("s", "d", "dept"):
            d[group] = d[group].astype(str)
        return seconds(lambda: lmer("y ~ service + (1|s) + (1|d) + (1|dept)", d))
    d["format"] = pd.Categorical(d["format"], ["old", "new"])
    model = "score ~ year*format + wave + (1 + time|student) + (1|LC) + (1|LCclass)"
    if row == "fit":
        return seconds(lambda: lmer(model, d), 5)
    fit = lmer(model, d)
    drawn = fit.simulate(20, seed=1)

    def refits() -> None:
        for i in range(20):
            d["score"] = drawn[:, i]
            lmer(model, d)

    return 50.0 * seconds(refits)


if __name__ == "__main__":
    sys.stdout.write(str(measured(*sys.argv[1:3])))
