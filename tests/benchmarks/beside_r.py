"""The same simulated studies given to the engine and to R, p value by p value."""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analyses.lmm.design import Array
from analyses.lmm.fit import fit_design
from tests.benchmarks.r_program import run_r
from tests.benchmarks.studies import CommunityStudy, community_study, p_values

__all__ = ["SMALLEST", "BesideR", "beside_r"]

SMALLEST = 30  # students per community: pbkrtest's time grows faster than rows


@dataclass(frozen=True, eq=False)
class BesideR:
    """p values of n studies, feature and trend.

    Attributes:
        ours: n x 2 methods (Satterthwaite, Kenward-Roger) x 2 contrasts.
        r: The same by lmerTest and pbkrtest.
        singular: How many of our fits have a variance of 0.
        n_rows: Rows of a study.
    """

    ours: Array
    r: Array
    singular: int
    n_rows: int


def beside_r(icc: float, n: int, *, seed: tuple[int, ...]) -> BesideR:
    """Simulate n studies without effects and test both contrasts in both programs."""
    random = np.random.default_rng(seed)
    study = community_study(random, smallest=SMALLEST)
    outcomes = np.column_stack(
        [study.outcome(random, icc, (0.0, 0.0)) for _ in range(n)]
    )
    rows = np.eye(3)[[2, 1]]
    fits = [fit_design(replace(study.design, y=y), reml=True) for y in outcomes.T]
    ours = np.array([p_values(fit, rows)[1:] for fit in fits])
    # Two processes of R, half of the studies each.
    with ThreadPoolExecutor(2) as pool:
        halves = np.array_split(outcomes, 2, axis=1)
        r = np.concatenate(list(pool.map(lambda half: _by_r(study, half), halves)))
    singular = sum(fit.is_singular for fit in fits)
    return BesideR(ours, r, singular, study.design.n_rows)


def _by_r(study: CommunityStudy, outcomes: Array) -> Array:
    student, community = study.design.terms
    columns = [*study.design.x[:, 1:].T, student.codes, community.codes]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savetxt(
            folder / "design.csv", np.column_stack(columns), delimiter=",", fmt="%d",
            header="wave,feature,student,community", comments="",
        )  # fmt: skip
        np.savetxt(folder / "y.csv", outcomes, delimiter=",", fmt="%.17g")
        run_r("beside.R", *(folder / f for f in ("design.csv", "y.csv", "p.json")))
        found = json.loads((folder / "p.json").read_text("utf-8"))
    return np.array(found)
