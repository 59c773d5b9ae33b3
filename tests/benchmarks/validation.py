"""The engine's validation page; `make validation` writes analyses/lmm/VALIDATION.md.

Agreement with R on the reference sets, error rates and coverage in simulated
studies, the same studies in R, the school-wide change, and the table of speed.
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tests.benchmarks.agreement import Differences, agreement, limits
from tests.benchmarks.beside_r import SMALLEST, beside_r
from tests.benchmarks.markdown import difference, share, table
from tests.benchmarks.r_program import versions_of_r
from tests.benchmarks.simulation import (
    EFFECTS,
    ICCS,
    SEED,
    community_results,
    school_results,
)
from tests.benchmarks.speed import HEADING, VALIDATION, with_speed
from tests.benchmarks.speed import PAGE as SPEED
from tests.benchmarks.studies import METHODS, Verdicts
from tests.oracles.designs import SHARED

__all__ = ["main"]

R_ICCS = (0.01, 0.03)
CEILING = 0.06  # what Kenward-Roger's error rate may not exceed
Results = dict[tuple[float, bool], Verdicts]

TOP = """# What the linear mixed model engine was checked against

Written by `make validation` (`python -m tests.benchmarks.validation`, some eight
minutes on two cores, half of them R's); not edited by hand. Seed {seed}; numpy's
default generator. lcwaves {own}, Python {python}, numpy {numpy}, scipy {scipy};
{r}.
Everything below is the same at every run, but for rounding errors and section 4.

## 1. Agreement with R, number by number

Reference sets with their data, R script and R's output at 17 digits lie in
`tests/oracles`; larger ones are shared outside the repository. R 4.2.2, lme4 1.1.31,
lmerTest 3.1.3 and pbkrtest 0.5.2 made them. Each cell is the largest difference over
all coefficients, variances or contrasts of the fit; the first row of the table is the
tolerance. Criterion: minus twice the (restricted) log-likelihood, ours minus R's, so a
number below 0 is a better optimum than R's. "At R's theta": evaluated at R's variance
parameters, which compares formulas alone; "ours": after our own search, which adds
where the two programs stopped. Differences are relative: of fixed effects after our
search to R's value or its standard error, whichever is larger; of Kenward-Roger
covariances to the product of the two standard errors; of variances that R puts at 0 to
a millionth of the residual variance. Satterthwaite df of the sets of `more.R`: 5e-3 for
REML, 2e-2 for ML. A dash: R's output does not hold the number. Bold: outside the
tolerance.
"""

HEAD = (
    "set", "method", "rows", "criterion", "fixed effects at R's theta",
    "SE at R's theta", "fixed effects, ours", "SE, ours", "variances, ours",
    "Satterthwaite df, ours", "KR covariance at R's theta", "KR df at R's theta",
)  # fmt: skip

SIMULATED = """
## 2. Error rates with 11 communities

Simulated: 11 communities of 60 to 70 students, four yearly waves, each answer there
with probability 0.7 (about 2,000 rows); total variance 1, of which residual 0.4 and
students and communities together 0.6. Five communities have a feature, six have not.
Model: `y ~ wave + feature + (1 | student) + (1 | community)`, REML. A new pattern of
who answered is drawn for every 125 studies, new effects and errors for every study.

Type I error of a test at the 5% level when neither effect is there, {null:,} studies
per row; in %, Monte Carlo standard error in brackets.

{type_one}
{verdict}

Coverage of 95% intervals when a year adds {year} SD and the feature {feature} SD, other
{effect:,} studies per row; in %.

{coverage}
Median degrees of freedom of the feature, studies without effects:

{df}
z takes 11 communities for infinitely many, so it rejects too often once communities
differ. Near a community variance of 0 Kenward-Roger is conservative, as R's is. On a
singular fit Satterthwaite's df are as if students were the unit of the feature.
"""

IN_R = """
### The same studies in R

{n} further studies without effects at each community ICC, of smaller communities
({smallest} to {largest} students, some {rows:,} rows: pbkrtest's time grows faster than
rows do), each analysed by the engine and by lmerTest (Satterthwaite) and pbkrtest
(Kenward-Roger; lme4's bobyqa with rhoend 1e-9). Largest difference of the p values of
a study, and share of studies that reject at 5%, in %.

{table}
"""

SCHOOL = """
## 3. A change that hits the whole school

Simulated: one school of 11 communities, six academic years, all four class years in
each, 16 students per class and community, response 0.7 (about 2,950 rows); students
0.58, communities 0.02, residual 0.4 of a variance of 1, and on top a school-wide effect
of each academic year with the SD given. Nothing else changes after the third year; the
contrast is years 4 to 6 against 1 to 3, adjusted for class year. {n:,} studies per
row; type I error at the 5% level in %.

{table}
Students and communities as only groups take every answer for evidence about the change.
The unit is the academic year: a random effect of it with Kenward-Roger df. A plain t
test of year means rejects too often where years differ little, because years share
students. The last column is the share of fits of the right model with a variance at 0.
"""


def _agreement() -> str:
    at_most = limits("lcstudy", "REML")
    names = [f.name for f in fields(Differences)]
    first = ["tolerance", "", "", *(f"{at_most[n]:.0e}" for n in names)]
    rows, within, total = [first], 0, 0
    for name, method, n_rows, found in agreement():
        own = limits(name, method)
        cells = [difference(getattr(found, n), own[n]) for n in names]
        rows.append([name, method, f"{n_rows:,}", *cells])
        good, count = found.counts(name, method)
        within, total = within + good, total + count
    text = table(HEAD, rows) + f"\n{within} of {total} numbers within tolerance.\n"
    if not (SHARED / "oracles").exists():
        text += (
            "\nThe shared folder was not there: lcstudy, InstEval and STAR were not"
            " compared.\n"
        )
    return text


def _rates(results: Results, *, there: bool) -> str:
    rows = []
    for icc in ICCS:
        found = results[icc, there]
        n = len(found.missed)
        missed = found.missed.sum(axis=0)
        counts = n - missed if there else missed
        cells = [share(float(c), n) for c in counts.T.ravel()]
        rows.append([f"{icc:.2f}", *cells, share(float(found.singular.sum()), n)])
    head = [f"{what}, {m}" for what in ("feature", "trend") for m in METHODS]
    return table(["community ICC", *head, "singular fits"], rows)


def _verdict(results: Results) -> str:
    rates = [results[icc, False].missed.mean(axis=0)[2] for icc in ICCS]
    worst = float(np.max(rates))
    where = "not above" if worst <= CEILING else "**above**"
    return (
        f"The largest error rate of Kenward-Roger in this table is {100 * worst:.1f}%:"
        f" {where} {100 * CEILING:.0f}%."
    )


def _df(results: Results) -> str:
    rows = []
    for icc in ICCS:
        found = results[icc, False]
        cells = []
        for singular in (False, True):
            df = found.df[found.singular == singular][:, 1:, 0]
            middle = np.median(df, axis=0) if len(df) else [np.nan, np.nan]
            cells += [f"{value:.1f}" if np.isfinite(value) else "-" for value in middle]
        rows.append([f"{icc:.2f}", *cells])
    kinds = ("Satterthwaite", "Kenward-Roger")
    head = [f"{m}, {fits}" for fits in ("regular fits", "singular fits") for m in kinds]
    return table(["community ICC", *head], rows)


def _beside_r(n: int) -> str:
    if versions_of_r() is None:
        return "\n### The same studies in R\n\nR was not there; not compared.\n"
    rows, n_rows = [], 0
    kinds = [("feature", "trend"), ("Satterthwaite", "Kenward-Roger")]
    for i, icc in enumerate(R_ICCS):
        found = beside_r(icc, n, seed=(SEED, 20 + i))
        n_rows = found.n_rows
        for c, contrast in enumerate(kinds[0]):
            for m, method in enumerate(kinds[1]):
                ours, r = found.ours[:, m, c], found.r[:, m, c]
                rows.append([
                    f"{icc:.2f}", contrast, method, f"{np.abs(ours - r).max():.0e}",
                    share(float((ours < 0.05).sum()), n),
                    share(float((r < 0.05).sum()), n), share(float(found.singular), n),
                ])  # fmt: skip
    head = (
        "community ICC", "contrast", "method", "largest difference of p",
        "ours rejects", "R rejects", "singular fits",
    )  # fmt: skip
    return IN_R.format(
        n=n, smallest=SMALLEST, largest=SMALLEST + 10, rows=n_rows,
        table=table(head, rows),
    )  # fmt: skip


def _school(n: int) -> str:
    rows = []
    for sd, found in school_results(n).items():
        count = len(found.missed)
        missed, df = found.missed.sum(axis=0), np.median(found.df, axis=0)
        cells = [
            *(f"{share(float(missed[m, 0]), count)}" for m in range(3)),
            *(f"{share(float(missed[m, 1]), count)}" for m in (1, 2)),
            share(float(missed[0, 2]), count),
            f"{df[2, 0]:.0f}",
            f"{df[2, 1]:.1f}",
            share(float(found.singular.sum()), count),
        ]
        rows.append([f"{sd:.1f}", *cells])
    wrong = [f"wrong unit, {m}" for m in METHODS]
    right = [f"(1 \\| academic_year), {m}" for m in METHODS[1:]]
    head = [
        "SD of years", *wrong, *right, "year means, t with 4 df",
        "median KR df, wrong unit", "median KR df, right unit", "singular fits",
    ]  # fmt: skip
    return SCHOOL.format(n=n, table=table(head, rows))


def _page(null: int, effect: int, in_r: int, school: int) -> str:
    r = versions_of_r()
    parts = [
        TOP.format(
            seed=SEED, own=version("lcwaves"), python=platform.python_version(),
            numpy=version("numpy"), scipy=version("scipy"),
            r=f"compared in section 2 with {r}" if r else "R was not there",
        ),
        _agreement(),
    ]  # fmt: skip
    results = community_results(null, effect)
    parts += [
        SIMULATED.format(
            null=null, effect=effect, year=EFFECTS[0], feature=EFFECTS[1],
            type_one=_rates(results, there=False), verdict=_verdict(results),
            coverage=_rates(results, there=True), df=_df(results),
        ),
        _beside_r(in_r),
        _school(school),
    ]  # fmt: skip
    parts.append(f"{HEADING}\n\nNot measured yet: `make benchmarks`.")
    page = re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"
    return with_speed(page, SPEED.read_text("utf-8")) if SPEED.exists() else page


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, compare, write the page."""
    parser = argparse.ArgumentParser(description="Write the engine's validation page")
    parser.add_argument("--null", type=int, default=4000, help="studies of no effect")
    parser.add_argument("--effect", type=int, default=2000, help="of true effects")
    parser.add_argument("--in-r", type=int, default=200, help="analysed in R as well")
    parser.add_argument("--school", type=int, default=2000, help="of a school's years")
    parser.add_argument("--page", type=Path, default=VALIDATION)
    given = parser.parse_args(arguments)
    page = _page(given.null, given.effect, given.in_r, given.school)
    given.page.write_text(page, "utf-8")
    sys.stdout.write(f"Written: {given.page.name}\n")


if __name__ == "__main__":
    main()
