"""Scores, who answers, and item answers of the synthetic study.

Each score is drawn first, from the linear model whose truth is known; the item
answers are then drawn so that they score to exactly that number. Reversal happens
here, under the coding in force in the wave, as it would on paper. Files are the
matter of ``synthetic_files``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.instrument import Scale
from data_contracts.study import Study, Wave
from data_contracts.synthetic_people import ABSENT, FIRST_CLINICAL, IntArray, People
from data_contracts.synthetic_truth import (
    DESIGN,
    OUTCOME_CORRELATION,
    RESPONSE,
    SLOW_CORRELATION,
    LevelEffect,
    OutcomeDesign,
    OutcomeTruth,
)

__all__ = [
    "NOT_REACHED",
    "SKIPPED",
    "Participation",
    "Scores",
    "answer_items",
    "decide_participation",
    "draw_scores",
    "outcome_truths",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SKIPPED, NOT_REACHED = -1, -2
"""Marks of an item without an answer: passed over, or after the person stopped."""


@dataclass(frozen=True)
class Scores:
    """Scores of all people in all waves, whether or not they answered.

    Attributes:
        terms: Position of each wave's term.
        steps: Answer steps above the lowest possible score, outcomes x people x
            waves; a whole number, for the answers are.
        communities: Realised community effects, outcomes x communities.
    """

    terms: tuple[int, ...]
    steps: IntArray
    communities: FloatArray


@dataclass(frozen=True)
class Participation:
    """Who was asked and who answered; all arrays are people x waves.

    Attributes:
        eligible: Member of a community in the wave's term.
        clinical: In one of the later class years, away from the lecture halls.
        probability: True probability of answering; 0 where not eligible.
        answered: Answered.
    """

    eligible: BoolArray
    clinical: BoolArray
    probability: FloatArray
    answered: BoolArray


def draw_scores(study: Study, people: People, *, rng: np.random.Generator) -> Scores:
    """Draw every person's score in every wave from the designs.

    Args:
        study: Study whose outcomes are those of ``DESIGN``.
        people: Who was where.
        rng: Source of chance.

    Returns:
        Scores, in whole steps.
    """
    terms = tuple(people.term_at(w.opened) for w in study.waves)
    n_people, n_waves = len(people.keys), len(terms)
    n_communities = len(study.communities)
    # The same correlation between outcomes in each of a person's parts.
    root = np.linalg.cholesky(np.array(OUTCOME_CORRELATION))
    lasting = _standardised(root @ rng.standard_normal((len(DESIGN), n_people)))
    fresh = _correlated(root, rng.standard_normal((len(DESIGN), n_people, n_waves)))
    occasion = _correlated(root, rng.standard_normal((len(DESIGN), n_people, n_waves)))
    slow = _fading(fresh, SLOW_CORRELATION)
    raw = _standardised(rng.standard_normal((len(DESIGN), n_communities)))
    sds = np.array([d.sd * np.sqrt(d.community_share) for d in DESIGN])
    communities = raw * sds[:, None]
    years = np.array([study.academic_years.index(w.academic_year) for w in study.waves])
    class_year = people.class_year[:, terms]
    community = people.community[:, terms]
    steps = np.zeros((len(DESIGN), n_people, n_waves), dtype=np.int64)
    for o, design in enumerate(DESIGN):
        fixed = (
            np.array(design.academic_year)[years][None, :]
            + np.array(design.class_year)[class_year]
            + communities[o][community]
        )
        score = fixed + _person_part(design, lasting[o], slow[o], occasion[o])
        scale_id = study.outcomes_by_id[design.outcome].scale
        low, _ = study.scale_range(scale_id)
        scale = study.scale(scale_id)
        most = len(scale.items) * _levels(study, scale_id)
        above = np.rint((score - low) * _steps_per_unit(scale))
        steps[o] = np.clip(above, 0, most).astype(np.int64)
    return Scores(terms=terms, steps=steps, communities=communities)


def decide_participation(
    study: Study, people: People, scores: Scores, *, rng: np.random.Generator
) -> Participation:
    """Decide who answers, wave by wave; a worse last score makes it less likely.

    Only scores that were observed count, so the missing waves are missing at random
    given the answers.

    Args:
        study: Study with as many waves as the design has log odds.
        people: Who was where.
        scores: Scores of all.
        rng: Source of chance.

    Returns:
        Who was asked and who answered.
    """
    design = DESIGN[0]
    scale = study.scale(study.outcomes_by_id[design.outcome].scale)
    low, _ = study.scale_range(study.outcomes_by_id[design.outcome].scale)
    observed = low + scores.steps[0] / _steps_per_unit(scale)
    standard = (observed - design.intercept) / design.sd
    class_year = people.class_year[:, scores.terms]
    eligible = class_year != ABSENT
    clinical = class_year >= FIRST_CLINICAL
    propensity = RESPONSE.person_sd * rng.standard_normal(len(people.keys))
    chance = rng.random(eligible.shape)
    probability = np.zeros(eligible.shape)
    answered = np.zeros(eligible.shape, dtype=np.bool_)
    last = np.zeros(len(people.keys))
    for w in range(len(study.waves)):
        log_odds = (
            RESPONSE.log_odds[w]
            + RESPONSE.clinical * clinical[:, w]
            + RESPONSE.per_sd * last
            + propensity
        )
        probability[:, w] = np.where(eligible[:, w], 1 / (1 + np.exp(-log_odds)), 0)
        answered[:, w] = chance[:, w] < probability[:, w]
        last = np.where(answered[:, w], standard[:, w], last)
    return Participation(eligible, clinical, probability, answered)


def answer_items(
    study: Study,
    scores: Scores,
    participation: Participation,
    *,
    rng: np.random.Generator,
) -> tuple[tuple[IntArray, IntArray], ...]:
    """Draw the item answers of all who answered, as each wave's form coded them.

    Args:
        study: Study with its instruments and codings.
        scores: Scores that the answers must add up to.
        participation: Who answered.
        rng: Source of chance.

    Returns:
        For each wave the rows of the people who answered, and their answers (people
        x items, instruments in the wave's order); ``SKIPPED`` and ``NOT_REACHED``
        mark items without an answer.
    """
    n_people = participation.answered.shape[0]
    habits = [
        0.7 * rng.standard_normal((n_people, len(_scale(study, d).items)))
        for d in DESIGN
    ]
    skip_rate = _skip_rates(n_people, rng)
    waves = []
    for w, wave in enumerate(study.waves):
        rows = np.flatnonzero(participation.answered[:, w])
        blocks = []
        for name in wave.instruments:
            instrument = study.instrument(name)
            block = np.zeros((len(rows), instrument.n_items), dtype=np.int64)
            for o, design in enumerate(DESIGN):
                scale_id = study.outcomes_by_id[design.outcome].scale
                if scale_id.partition(".")[0] != name:
                    continue
                items = _scale(study, design).items
                noise = habits[o][rows] + 0.7 * rng.standard_normal(
                    (len(rows), len(items))
                )
                ease = _ease(design, len(items))
                block[:, np.array(items) - 1] = _share_out(
                    scores.steps[o, rows, w],
                    design.item_noise * noise + ease,
                    levels=_levels(study, scale_id),
                )
            low = int(instrument.response.minimum)
            high = int(instrument.response.maximum)
            block += low
            reverse = np.array(_reversed(study, wave, name), dtype=np.int64) - 1
            block[:, reverse] = low + high - block[:, reverse]
            blocks.append(block)
        answers = np.concatenate(blocks, axis=1)
        waves.append((rows, _with_gaps(answers, skip_rate[rows], rng)))
    return tuple(waves)


def outcome_truths(
    study: Study, scores: Scores, participation: Participation
) -> tuple[OutcomeTruth, ...]:
    """State the truth behind the scores, outcome by outcome."""
    shared = _mean_slow_correlation(participation.answered)
    truths = []
    for o, design in enumerate(DESIGN):
        total = design.sd**2
        rounding = 1 / 12 / _steps_per_unit(_scale(study, design)) ** 2
        rest = 1 - design.community_share - design.lasting_share - design.slow_share
        lasting, slow = design.lasting_share * total, design.slow_share * total
        occasion = rest * total + rounding
        truths.append(
            OutcomeTruth(
                outcome=design.outcome,
                scale=study.outcomes_by_id[design.outcome].scale,
                intercept=design.intercept,
                academic_year=_effects(study.academic_years, design.academic_year),
                class_year=_effects(study.class_years, design.class_year),
                communities=_effects(
                    [c.id for c in study.communities], scores.communities[o].tolist()
                ),
                community_variance=design.community_share * total,
                student_variance=lasting + shared * slow,
                residual_variance=(1 - shared) * slow + occasion,
                lasting_variance=lasting,
                slow_variance=slow,
                slow_correlation=SLOW_CORRELATION,
                occasion_variance=occasion,
            )
        )
    return tuple(truths)


def _effects(
    levels: Sequence[str], effects: Sequence[float]
) -> tuple[LevelEffect, ...]:
    return tuple(
        LevelEffect(level, effect)
        for level, effect in zip(levels, effects, strict=True)
    )


def _scale(study: Study, design: OutcomeDesign) -> Scale:
    return study.scale(study.outcomes_by_id[design.outcome].scale)


def _levels(study: Study, scale_id: str) -> int:
    """Steps between the lowest and the highest answer of one item."""
    response = study.instrument(scale_id.partition(".")[0]).response
    return int(response.maximum - response.minimum)


def _steps_per_unit(scale: Scale) -> int:
    return len(scale.items) if scale.combine == "mean" else 1


def _reversed(study: Study, wave: Wave, name: str) -> tuple[int, ...]:
    codings = study.instrument(name).codings
    coding = wave.instruments[name].coding or study.instruments[name].coding
    return codings[coding or next(iter(codings))].reverse


def _standardised(draws: FloatArray) -> FloatArray:
    """Mean 0 and sample variance 1 along the last axis.

    A study has one draw of its communities and people; with their variance exact,
    what is stated as true is also what the data hold, but for the occasions.
    """
    centred = draws - draws.mean(axis=-1, keepdims=True)
    scaled: FloatArray = centred / centred.std(axis=-1, ddof=1, keepdims=True)
    return scaled


def _correlated(root: FloatArray, draws: FloatArray) -> FloatArray:
    mixed: FloatArray = np.einsum("op,pnw->onw", root, draws)
    return mixed


def _fading(fresh: FloatArray, correlation: float) -> FloatArray:
    """A stationary first-order series of variance 1 along the waves."""
    series = fresh.copy()
    for w in range(1, series.shape[2]):
        series[:, :, w] = (
            correlation * series[:, :, w - 1]
            + np.sqrt(1 - correlation**2) * fresh[:, :, w]
        )
    return series


def _person_part(
    design: OutcomeDesign, lasting: FloatArray, slow: FloatArray, occasion: FloatArray
) -> FloatArray:
    """Intercept, lasting level and wave-to-wave parts; people x waves."""
    rest = 1 - design.community_share - design.lasting_share - design.slow_share
    moving = design.sd * (np.sqrt(design.slow_share) * slow + np.sqrt(rest) * occasion)
    spread = design.sd * np.sqrt(design.lasting_share)
    if design.skew == 0:
        steady: FloatArray = design.intercept + (spread * lasting)[:, None] + moving
        return steady
    # A shifted lognormal level of the same mean and variance; the moving parts are
    # in proportion to it, scaled so that their mean variance stays what it was.
    growth = float(np.exp(design.skew**2))
    shape = (np.exp(design.skew * lasting) / np.sqrt(growth) - 1) / np.sqrt(growth - 1)
    shape = _standardised(shape)
    level: FloatArray = design.intercept + spread * shape
    mean_square = design.intercept**2 + spread**2
    part: FloatArray = level[:, None] * (1 + moving / np.sqrt(mean_square))
    return part


def _ease(design: OutcomeDesign, n_items: int) -> FloatArray:
    """How readily each item is agreed with; spread evenly unless it was chosen."""
    if design.item_ease:
        return np.array(design.item_ease)
    mixed = np.argsort((np.arange(n_items) * 0.618) % 1)  # no run of easy items
    spread: FloatArray = np.linspace(0.35, -0.35, n_items)[mixed]
    return spread


def _share_out(steps: IntArray, leaning: FloatArray, *, levels: int) -> IntArray:
    """Share a person's steps out to the items; rows sum to ``steps`` exactly.

    A graded-response model given the total: every step of every item has a
    difficulty, and a person takes the easiest ones until the total is reached.
    """
    ladder = leaning[:, :, None] - np.arange(levels)[None, None, :]
    flat = ladder.reshape(len(steps), -1)
    falling = -np.sort(-flat, axis=1)
    last = np.clip(steps - 1, 0, None)
    bar = np.where(steps > 0, falling[np.arange(len(steps)), last], np.inf)
    taken: IntArray = (ladder >= bar[:, None, None]).sum(axis=2)
    return taken


def _skip_rates(n_people: int, rng: np.random.Generator) -> FloatArray:
    skips = rng.random(n_people) < RESPONSE.skippers
    often = rng.random(n_people) < 0.2
    usual, high = RESPONSE.skip_rates
    rates: FloatArray = np.where(skips, np.where(often, high, usual), 0.0)
    return rates


def _with_gaps(
    answers: IntArray, skip_rate: FloatArray, rng: np.random.Generator
) -> IntArray:
    """Take out skipped items and all that comes after a person stopped."""
    n_rows, n_items = answers.shape
    stops = rng.random(n_rows) < RESPONSE.stops
    today = np.where((rng.random(n_rows) < 0.5) & ~stops, skip_rate, 0.0)
    skipped = rng.random((n_rows, n_items)) < today[:, None]
    reached = np.where(
        stops, 4 + (rng.random(n_rows) * (n_items - 8)).astype(np.int64), n_items
    )
    unreached = np.arange(n_items)[None, :] >= reached[:, None]
    gaps: IntArray = np.where(
        unreached, NOT_REACHED, np.where(skipped, SKIPPED, answers)
    )
    return gaps


def _mean_slow_correlation(answered: BoolArray) -> float:
    """Mean correlation of the slow part over pairs of answered waves of a person."""
    n_waves = answered.shape[1]
    seen = answered.astype(np.float64)
    weight = 1 / np.maximum(seen.sum(axis=1), 1)
    total, correlated = 0.0, 0.0
    for lag in range(1, n_waves):
        pairs = float(((seen[:, :-lag] * seen[:, lag:]).sum(axis=1) * weight).sum())
        total += pairs
        correlated += pairs * SLOW_CORRELATION**lag
    return correlated / total
