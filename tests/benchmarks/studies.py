"""Simulated schools of 11 communities, and what the engine concludes from each.

Drawn with numpy's default generator from the seed given; every batch of studies has
its own pattern of who answered when. Outcomes have a total variance of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from analyses.lmm.design import Array, Design, Ints, RandomTerm, make_design
from analyses.lmm.fit import Fit, fit_design
from analyses.lmm.kenward_roger import kenward_roger
from analyses.lmm.satterthwaite import satterthwaite

__all__ = [
    "METHODS",
    "CommunityStudy",
    "SchoolStudy",
    "Verdicts",
    "community_study",
    "community_verdicts",
    "inference",
    "joined",
    "p_values",
    "school_study",
    "school_verdicts",
]

Flags = NDArray[np.bool_]

METHODS = ("z", "Satterthwaite", "Kenward-Roger")
COMMUNITIES = 11
RESPONSE = 0.7
STUDENT_AND_COMMUNITY = 0.6  # of the variance; the residual has the rest


@dataclass(frozen=True, eq=False)
class CommunityStudy:
    """Who answered when: 11 communities, four yearly waves.

    Attributes:
        design: Columns are the intercept, the wave in years and the feature.
    """

    design: Design

    def outcome(
        self, random: np.random.Generator, icc: float, effects: tuple[float, float]
    ) -> Array:
        """Draw one outcome; the effects are of a year and of the feature."""
        student, community = self.design.terms
        slope, feature = effects
        own = np.sqrt(STUDENT_AND_COMMUNITY - icc) * random.normal(
            size=student.n_groups
        )
        shared = np.sqrt(icc) * random.normal(size=COMMUNITIES)
        noise = np.sqrt(1.0 - STUDENT_AND_COMMUNITY) * random.normal(
            size=self.design.n_rows
        )
        mean: Array = self.design.x @ np.array([3.0, slope, feature])
        y: Array = mean + own[student.codes] + shared[community.codes] + noise
        return y


def community_study(
    random: np.random.Generator, *, smallest: int = 60
) -> CommunityStudy:
    """Draw who answered: communities of `smallest` to `smallest` + 10 students."""
    home = np.repeat(np.arange(COMMUNITIES), smallest + np.arange(COMMUNITIES))
    student = np.repeat(np.arange(len(home)), 4)
    wave = np.tile(np.arange(4.0), len(home))
    kept = random.random(len(student)) < RESPONSE
    student, wave = student[kept], wave[kept]
    community = home[student]
    one = np.ones(len(student))
    x = np.column_stack([one, wave, (community % 2 == 1).astype(np.float64)])
    terms = [_intercepts("student", student), _intercepts("community", community)]
    return CommunityStudy(make_design(random.normal(size=len(one)), x, terms))


def _intercepts(name: str, groups: Ints) -> RandomTerm:
    levels, codes = np.unique(groups, return_inverse=True)
    ones = np.ones((len(groups), 1))
    return RandomTerm(name, codes.astype(np.int64), len(levels), ones)


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What was concluded in each of n studies.

    Attributes:
        missed: n x methods x contrasts; whether the 95% interval leaves out the
            truth. With a truth of 0 that is a wrong rejection at the 5% level.
        singular: n; whether a variance was estimated as 0.
        df: n x methods x contrasts.
    """

    missed: Flags
    singular: Flags
    df: Array


def joined(parts: list[Verdicts]) -> Verdicts:
    """Verdicts of several batches in one."""
    return Verdicts(
        np.concatenate([p.missed for p in parts]),
        np.concatenate([p.singular for p in parts]),
        np.concatenate([p.df for p in parts]),
    )


def inference(fit: Fit, rows: Array) -> tuple[Array, Array]:
    """Standard errors and df of contrasts by z, Satterthwaite and Kenward-Roger.

    Args:
        fit: A REML fit.
        rows: k x p.

    Returns:
        Two arrays of 3 x k.
    """
    engine = kenward_roger(fit)
    plain = np.sqrt(np.einsum("ki,ij,kj->k", rows, fit.vcov, rows))
    adjusted = np.sqrt(np.einsum("ki,ij,kj->k", rows, engine.vcov, rows))
    df = [np.full(len(rows), np.inf), satterthwaite(fit).df(rows), engine.df(rows)]
    return np.array([plain, plain, adjusted]), np.array(df)


def critical(df: Array) -> Array:
    """Two-sided 5% points of t, of the normal where df is infinite."""
    finite = np.where(np.isfinite(df), df, 1.0)
    out: Array = np.where(np.isfinite(df), t.isf(0.025, finite), norm.isf(0.025))
    return out


def p_values(fit: Fit, rows: Array) -> Array:
    """Two-sided p values by z, Satterthwaite and Kenward-Roger, 3 x contrasts."""
    errors, df = inference(fit, rows)
    statistic = np.abs(rows @ fit.beta) / errors
    finite = np.where(np.isfinite(df), df, 1.0)
    tails = np.where(np.isfinite(df), t.sf(statistic, finite), norm.sf(statistic))
    out: Array = 2.0 * tails
    return out


def community_verdicts(
    icc: float, effects: tuple[float, float], n: int, *, seed: tuple[int, ...]
) -> Verdicts:
    """Simulate and analyse n studies of one response pattern.

    Contrasts are the feature of communities and the yearly trend, in this order.
    """
    random = np.random.default_rng(seed)
    study = community_study(random)
    rows = np.eye(3)[[2, 1]]
    truth = np.array([effects[1], effects[0]])
    missed = np.empty((n, 3, 2), dtype=bool)
    singular, df = np.empty(n, dtype=bool), np.empty((n, 3, 2))
    for i in range(n):
        y = study.outcome(random, icc, effects)
        fit = fit_design(replace(study.design, y=y), reml=True)
        errors, df[i] = inference(fit, rows)
        missed[i] = np.abs(rows @ fit.beta - truth) > critical(df[i]) * errors
        singular[i] = fit.is_singular
    return Verdicts(missed, singular, df)


@dataclass(frozen=True, eq=False)
class SchoolStudy:
    """Six academic years of one school; something changes after the third.

    Attributes:
        wrong: The design with students and communities as only groups.
        right: With the academic year as a third.
        year: Academic year of each row.
    """

    wrong: Design
    right: Design
    year: Ints


def school_study(
    random: np.random.Generator, *, per_class: int = 16, years: int = 6
) -> SchoolStudy:
    """Draw who answered: each year all four classes of 11 communities."""
    cohort, number, home, class_year = (
        part.ravel()
        for part in np.meshgrid(
            np.arange(years + 3), np.arange(per_class), np.arange(COMMUNITIES),
            np.arange(4), indexing="ij",
        )
    )  # fmt: skip
    year = cohort + class_year - 3
    kept = (year >= 0) & (year < years) & (random.random(len(year)) < RESPONSE)
    student = (cohort * per_class + number) * COMMUNITIES + home
    student, home, year = student[kept], home[kept], year[kept]
    classes = [(class_year[kept] == k).astype(np.float64) for k in (1, 2, 3)]
    after = (year >= years // 2).astype(np.float64)
    x = np.column_stack([np.ones(len(year)), after, *classes])
    terms = [_intercepts("student", student), _intercepts("community", home)]
    y = random.normal(size=len(year))
    wrong = make_design(y, x, terms)
    right = make_design(y, x, [*terms, _intercepts("academic_year", year)])
    return SchoolStudy(wrong, right, year)


def school_verdicts(year_sd: float, n: int, *, seed: tuple[int, ...]) -> Verdicts:
    """Simulate and analyse n schools in which nothing changed.

    Contrasts are the change by the wrong model, by the right model, and by a t
    test of the year means (the same under each method).
    """
    random = np.random.default_rng(seed)
    study = school_study(random)
    student, community = study.wrong.terms
    row = np.eye(5)[[1]]
    missed, df = np.empty((n, 3, 3), dtype=bool), np.empty((n, 3, 3))
    singular = np.empty(n, dtype=bool)
    for i in range(n):
        y = np.sqrt(0.58) * random.normal(size=student.n_groups)[student.codes]
        y += np.sqrt(0.02) * random.normal(size=COMMUNITIES)[community.codes]
        y += year_sd * random.normal(size=6)[study.year]
        y += np.sqrt(0.4) * random.normal(size=len(y))
        for j, design in enumerate((study.wrong, study.right)):
            fit = fit_design(replace(design, y=y), reml=True)
            errors, found = inference(fit, row)
            df[i, :, j] = found[:, 0]
            limit = critical(found) * errors
            missed[i, :, j] = (np.abs(row @ fit.beta) > limit)[:, 0]
            singular[i] = fit.is_singular  # of the right model, which comes last
        df[i, :, 2] = 4.0
        missed[i, :, 2] = abs(_t_of_years(study, y)) > t.isf(0.025, 4)
    return Verdicts(missed, singular, df)


def _t_of_years(study: SchoolStudy, y: Array) -> float:
    """Two-sample t of three and three year means over a fixed class-year mix."""
    years = (study.year[:, None] == np.arange(6)).astype(np.float64)
    means = np.linalg.lstsq(
        np.column_stack([years, study.wrong.x[:, 2:]]), y, rcond=None
    )[0][:6]
    before, after = means[:3], means[3:]
    spread = np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / 3.0)
    return float((after.mean() - before.mean()) / spread)
