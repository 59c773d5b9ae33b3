"""Scoring: answers become scores, with how many items were answered.

Items are reversed here, once, by the coding in force in the wave. A score is null
where fewer items were answered than the scale's rule asks for.
"""

from __future__ import annotations

import polars as pl

from data_contracts.instrument import Coding, Instrument, Scale
from data_contracts.study import Study, Wave
from data_contracts.tables import as_declared, empty

__all__ = ["coding_in_force", "minimum_answered", "score_wave"]


def coding_in_force(study: Study, wave: Wave, name: str) -> Coding:
    """The coding direction of an instrument in a wave.

    The wave's own declaration counts before the study's; an instrument with one
    coding needs neither.
    """
    instrument = study.instrument(name)
    chosen = wave.instruments[name].coding or study.instruments[name].coding
    if chosen is None:
        return next(iter(instrument.codings.values()))
    return instrument.codings[chosen]


def minimum_answered(study: Study, name: str, scale: Scale) -> int:
    """Fewest answered items for a score: the study's number, else the contract's."""
    declared = study.instruments[name].minimum_answered.get(scale.id)
    least = declared if declared is not None else scale.minimum_answered
    return least if least is not None else len(scale.items)


def score_wave(
    study: Study,
    wave: Wave,
    *,
    response: pl.DataFrame,
    item_response: pl.DataFrame,
) -> pl.DataFrame:
    """Score every scale of a wave for every respondent.

    Question: what does each person's set of answers come to, on each scale?

    Args:
        study: The study, with its contracts.
        wave: The wave.
        response: Table ``response`` of the wave.
        item_response: Table ``item_response`` of the wave, unreversed.

    Returns:
        Table ``score``: one row a person and scale. ``value`` is the mean of the
        answered items, or for a sum that mean times the number of items (person
        mean substitution); null where fewer than the required items were answered.
    """
    scores = [empty("score")]
    for name in wave.instruments:
        instrument = study.instrument(name)
        answers = _reversed(
            item_response.filter(pl.col("instrument") == name),
            instrument,
            coding_in_force(study, wave, name),
        )
        for scale in instrument.scales:
            least = minimum_answered(study, name, scale)
            scores.append(
                _scale_scores(response, answers, scale=scale, least=least).with_columns(
                    scale=pl.lit(f"{name}.{scale.id}")
                )
            )
    return as_declared("score", pl.concat(scores))


def _reversed(
    answers: pl.DataFrame, instrument: Instrument, coding: Coding
) -> pl.DataFrame:
    mirrored = instrument.response.minimum + instrument.response.maximum
    return answers.select(
        "participant",
        "item",
        pl.when(pl.col("item").is_in(list(coding.reverse)))
        .then(mirrored - pl.col("answer"))
        .otherwise(pl.col("answer"))
        .alias("answer"),
    )


def _scale_scores(
    response: pl.DataFrame,
    answers: pl.DataFrame,
    *,
    scale: Scale,
    least: int,
) -> pl.DataFrame:
    n_items = len(scale.items)
    # Sum before dividing: a complete sum score stays a whole number.
    total = pl.col("answer").sum()
    factor = n_items if scale.combine == "sum" else 1
    summed = (
        answers.filter(pl.col("item").is_in(list(scale.items)))
        .group_by("participant")
        .agg(total=total * factor, n_answered=pl.len().cast(pl.Int64))
    )
    scored = response.select("participant", "wave", "academic_year").join(
        summed, on="participant", how="left"
    )
    answered = pl.col("n_answered").fill_null(0)
    return scored.select(
        "participant",
        "wave",
        "academic_year",
        scale=pl.lit(scale.id),
        value=pl.when(answered >= least).then(pl.col("total") / answered),
        n_answered=answered,
        n_items=pl.lit(n_items, dtype=pl.Int64),
    )
