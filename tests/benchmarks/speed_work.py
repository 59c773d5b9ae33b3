"""What is timed of the engine, one row of the table per process.

`python -m tests.benchmarks.speed_work row` prints seconds, peak bytes of the process
and whether all fits converged.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from analyses.lmm.design import Array, RandomTerm
from analyses.lmm.fit import fit_arrays, refit
from analyses.lmm.kenward_roger import kenward_roger
from analyses.lmm.profile import profile
from analyses.lmm.rows import simulate
from tests.oracles.designs import insteval, lcstudy

__all__ = ["WORK", "million_rows"]

Timed = tuple[float, bool]


def best(work: Callable[[], object], n: int) -> float:
    """Shortest of n times, in seconds."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _fit() -> Timed:
    known = lcstudy(small=False)
    fit = fit_arrays(known.y, known.x, known.terms)
    times = best(lambda: fit_arrays(known.y, known.x, known.terms), 15)
    return times, fit.record.converged


def _kenward_roger() -> Timed:
    known = lcstudy(small=False)
    fit = fit_arrays(known.y, known.x, known.terms)
    return best(lambda: kenward_roger(fit), 5), fit.record.converged


def _refits() -> Timed:
    known = lcstudy(small=False)
    fit = fit_arrays(known.y, known.x, known.terms)
    responses = simulate(fit, 1000, seed=1)
    start = time.perf_counter()
    found = refit(fit, responses)
    return time.perf_counter() - start, bool(found.converged.all())


def _crossed() -> Timed:
    known = insteval()
    start = time.perf_counter()
    fit = fit_arrays(known.y, known.x, known.terms)
    first = time.perf_counter() - start
    again = best(lambda: fit_arrays(known.y, known.x, known.terms), 2)
    return min(first, again), fit.record.converged


def _profile() -> Timed:
    known = lcstudy(small=False)
    fit = fit_arrays(known.y, known.x, known.terms)
    found = profile(fit)
    return best(lambda: profile(fit), 2), all(p.converged for p in found)


def million_rows() -> tuple[Array, Array, list[RandomTerm]]:
    """1,000,000 rows of 200,000 students in 1,600 communities in 150 schools."""
    random = np.random.default_rng(0)
    student = np.repeat(np.arange(200_000), 5)
    community = student % 1600
    school = community % 150
    wave = np.tile(np.arange(5.0), 200_000)
    own = random.normal(size=(200_000, 2)) @ np.array([[0.8, -0.06], [0.0, 0.2]])
    kind = random.integers(0, 2, len(student)).astype(np.float64)
    y = 3.0 + 0.1 * wave + 0.05 * kind + own[student, 0] + own[student, 1] * wave
    y += random.normal(0.0, 0.2, 1600)[community]
    y += random.normal(0.0, 0.15, 150)[school]
    y += random.normal(0.0, 0.6, len(student))
    one = np.ones(len(student))
    slope = np.column_stack([one, wave])
    terms = [
        RandomTerm("student", student, 200_000, slope, True, ("(Intercept)", "wave")),
        RandomTerm("community", community, 1600, one[:, None]),
        RandomTerm("school", school, 150, one[:, None]),
    ]
    return y, np.column_stack([one, wave, kind]), terms


def _million() -> Timed:
    y, x, terms = million_rows()
    start = time.perf_counter()
    fit = fit_arrays(y, x, terms)
    return time.perf_counter() - start, fit.record.converged


WORK: dict[str, Callable[[], Timed]] = {
    "fit": _fit,
    "kenward_roger": _kenward_roger,
    "refits": _refits,
    "crossed": _crossed,
    "profile": _profile,
    "million": _million,
}


if __name__ == "__main__":
    seconds, converged = WORK[sys.argv[1]]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps([seconds, peak, converged]))
