"""The simulated studies of the validation page, over two processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from tests.benchmarks.studies import (
    Verdicts,
    community_verdicts,
    joined,
    school_verdicts,
)

__all__ = ["EFFECTS", "ICCS", "SEED", "YEAR_SDS", "community_results", "school_results"]

K = TypeVar("K")

SEED = 20_261_122
ICCS = (0.0, 0.01, 0.03, 0.05)
EFFECTS = (0.05, 0.2)  # of a year, of the feature; in SD
YEAR_SDS = (0.0, 0.1)
BATCH = 125  # studies with one response pattern


def community_results(null: int, effect: int) -> dict[tuple[float, bool], Verdicts]:
    """Verdicts by community ICC and by whether the effects are there (not 0).

    Args:
        null: Studies without effects at each ICC, a multiple of the batch.
        effect: Studies with effects.
    """
    jobs: dict[tuple[float, bool], list[Callable[[], Verdicts]]] = {}
    for i, icc in enumerate(ICCS):
        for there in (False, True):
            effects = EFFECTS if there else (0.0, 0.0)
            jobs[icc, there] = [
                partial(
                    community_verdicts, icc, effects, BATCH,
                    seed=(SEED, i, int(there), batch),
                )
                for batch in range((effect if there else null) // BATCH)
            ]  # fmt: skip
    return _run(jobs)


def school_results(n: int) -> dict[float, Verdicts]:
    """Verdicts by the SD of school-wide years."""
    return _run(
        {
            sd: [
                partial(school_verdicts, sd, BATCH, seed=(SEED, 10 + i, batch))
                for batch in range(n // BATCH)
            ]
            for i, sd in enumerate(YEAR_SDS)
        }
    )


def _run(jobs: dict[K, list[Callable[[], Verdicts]]]) -> dict[K, Verdicts]:
    # One thread per process: the matrices are small and two processes fill two cores.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        waiting = {
            key: [pool.submit(work) for work in works] for key, works in jobs.items()
        }
        return {
            key: joined([f.result() for f in futures])
            for key, futures in waiting.items()
        }
