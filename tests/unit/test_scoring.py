"""Scoring by contract, item by item, against values worked out by hand.

Positions, directions and ranges: ../shared/INSTRUMENTS.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl
import pytest

from data_contracts.instrument import load_instrument, shipped_instruments
from data_contracts.scoring import score_wave
from data_contracts.study import Study
from data_contracts.tables import check_table, empty

EXHAUSTION = [2, 4, 5, 8, 10, 12, 14, 16]
DISENGAGEMENT = [1, 3, 6, 7, 9, 11, 13, 15]
AGREE_IS_1_REVERSED = [2, 3, 4, 6, 8, 9, 11, 12]
DREEM_REVERSED = [4, 8, 9, 17, 25, 35, 39, 48, 50]
DREEM_SCALES = {
    "learning": [1, 7, 13, 16, 20, 22, 24, 25, 38, 44, 47, 48],
    "teachers": [2, 6, 8, 9, 18, 29, 32, 37, 39, 40, 50],
    "academic": [5, 10, 21, 26, 27, 31, 41, 45],
    "atmosphere": [11, 12, 17, 23, 30, 33, 34, 35, 36, 42, 43, 49],
    "social": [3, 4, 14, 15, 19, 28, 46],
}


def study(contract: str, *, coding: str | None = None, **minimum: int) -> Study:
    use: dict[str, object] = {"contract": contract, "coding": coding}
    if minimum:
        use["minimum_answered"] = minimum
    return Study.model_validate(
        {
            "lcwaves": 1,
            "id": "s",
            "title": "s",
            "academic_years": ["2024-25"],
            "key": {"kind": "pseudonym"},
            "instruments": {contract: use},
            "waves": [
                {
                    "id": "w",
                    "academic_year": "2024-25",
                    "opened": date(2024, 10, 1),
                    "closed": date(2024, 10, 31),
                    "file": "f.csv",
                    "format": "tabular",
                    "columns": {"key": "k"},
                    "instruments": {contract: {"items": "i{n}"}},
                }
            ],
            "outcomes": [
                {
                    "id": "o",
                    "scale": f"{contract}.{load_instrument(contract).scales[0].id}",
                    "label": "o",
                }
            ],
        }
    )


def scores(declared: Study, answers: Mapping[int, float]) -> dict[str, float | None]:
    """Score one person who gave these answers; item position to answer."""
    name = next(iter(declared.instruments))
    response = pl.DataFrame(
        {"participant": ["p"], "wave": ["w"], "academic_year": ["2024-25"]}
    )
    items = pl.DataFrame(
        [("p", "w", name, i, float(a)) for i, a in answers.items()],
        schema=empty("item_response").schema,
        orient="row",
    )
    scored = score_wave(
        declared, declared.waves[0], response=response, item_response=items
    )
    assert all(f.passed for f in check_table("score", scored))
    rows = scored.select("scale", "value").iter_rows()
    return {s.removeprefix(f"{name}."): v for s, v in rows}


@pytest.mark.parametrize(
    ("coding", "reversed_items"),
    [
        ("strongly_agree_is_1", AGREE_IS_1_REVERSED),
        (
            "strongly_disagree_is_1",
            sorted(set(range(1, 17)) - set(AGREE_IS_1_REVERSED)),
        ),
    ],
)
def test_olbi_moves_by_each_item_in_its_own_direction(
    coding: str, reversed_items: list[int]
) -> None:
    declared = study("olbi", coding=coding)
    base = scores(declared, dict.fromkeys(range(1, 17), 2))
    for item in range(1, 17):
        raised = scores(declared, dict.fromkeys(range(1, 17), 2) | {item: 3})
        step = -1 / 8 if item in reversed_items else 1 / 8
        for scale, items in (
            ("exhaustion", EXHAUSTION),
            ("disengagement", DISENGAGEMENT),
        ):
            expected = step if item in items else 0.0
            change = (raised[scale] or 0) - (base[scale] or 0)
            assert change == pytest.approx(expected, abs=1e-12), (item, scale)


def test_olbi_codings_mirror_each_other() -> None:
    answers = {i: float(1 + (i * 7) % 4) for i in range(1, 17)}
    mirrored = {i: 5 - a for i, a in answers.items()}
    one = scores(study("olbi", coding="strongly_agree_is_1"), answers)
    other = scores(study("olbi", coding="strongly_disagree_is_1"), mirrored)
    assert one == pytest.approx(other)


@pytest.mark.parametrize(("answered", "expected"), [(5, None), (6, 4.0), (7, 4.0)])
def test_olbi_needs_six_of_eight(answered: int, expected: float | None) -> None:
    declared = study("olbi", coding="strongly_agree_is_1")
    most_exhausted = {i: 1 if i in AGREE_IS_1_REVERSED else 4 for i in EXHAUSTION}
    kept = dict(list(most_exhausted.items())[:answered])
    assert scores(declared, kept)["exhaustion"] == expected


def test_dreem_five_subscales_partition_and_sum_to_the_total() -> None:
    declared = study("dreem")
    answers = {i: float((i * 3) % 5) for i in range(1, 51)}
    result = scores(declared, answers)
    by_hand = {
        name: sum(4 - answers[i] if i in DREEM_REVERSED else answers[i] for i in items)
        for name, items in DREEM_SCALES.items()
    }
    assert {k: result[k] for k in by_hand} == by_hand
    assert result["total"] == sum(by_hand.values())


def test_dreem_best_answers_reach_the_published_maxima() -> None:
    best = {i: 0.0 if i in DREEM_REVERSED else 4.0 for i in range(1, 51)}
    assert scores(study("dreem"), best) == {
        "total": 200,
        "learning": 48,
        "teachers": 44,
        "academic": 32,
        "atmosphere": 48,
        "social": 28,
    }


def test_dreem_scores_complete_scales_only_unless_declared() -> None:
    answers = dict.fromkeys(range(1, 50), 2.0)  # item 50 is missing
    strict = scores(study("dreem"), answers)
    assert (strict["total"], strict["teachers"]) == (None, None)
    assert strict["learning"] == 24
    declared = scores(study("dreem", teachers=10), answers)
    assert declared["teachers"] == pytest.approx(22)


@pytest.mark.parametrize(
    ("missing", "expected"), [(0, 18.0), (1, 18.0), (2, 18.0), (3, None)]
)
def test_phq9_substitutes_the_mean_of_up_to_two_items(
    missing: int, expected: float | None
) -> None:
    answers = dict.fromkeys(range(1 + missing, 10), 2.0)
    assert scores(study("phq9"), answers)["total"] == expected


def test_phq9_prorated_score_is_person_mean_times_nine() -> None:
    answers = {i: float(i % 4) for i in range(1, 9)}  # 1+2+3+0+1+2+3+0 = 12 of 8
    assert scores(study("phq9"), answers)["total"] == pytest.approx(12 / 8 * 9)


@pytest.mark.parametrize("name", shipped_instruments())
def test_every_contract_gives_its_citation_and_stays_inside_its_range(
    name: str,
) -> None:
    instrument = load_instrument(name)
    assert instrument.citation
    declared = study(
        name,
        coding=next(iter(instrument.codings)),
        **{s.id: len(s.items) for s in instrument.scales if s.minimum_answered is None},
    )
    low, high = instrument.response.minimum, instrument.response.maximum
    for answer in (low, high):
        result = scores(
            declared, dict.fromkeys(range(1, instrument.n_items + 1), answer)
        )
        for scale in instrument.scales:
            least, most = declared.scale_range(f"{name}.{scale.id}")
            value = result[scale.id]
            assert value is not None
            assert least <= value <= most
