"""Findings in words: a direction only where the adjusted interval excludes zero."""

from __future__ import annotations

import polars as pl
import pytest

from data_contracts.errors import DisclosureError
from reports.disclosure import Release, release
from reports.sentences import (
    contrast_finding,
    limits,
    methods,
    primary_findings,
    title_finding,
)
from reports.wording import MINUS
from tests.unit import year_results as example

BASE = example.year_results()
SPAN = "from 2022-23 to 2025-26"


def with_contrast(
    low: float,
    high: float,
    *,
    outcome: str = "exhaustion",
    by: str = "academic_year",
    n_people: int = 500,
) -> Release:
    """One contrast of an outcome, last level against first, with these limits."""
    levels = example.YEARS if by == "academic_year" else example.CLASSES
    row = {
        **BASE.contrast.row(0, named=True),
        "outcome": outcome,
        "by": by,
        "level": levels[-1],
        "reference": levels[0],
        "estimate": (low + high) / 2,
        "adjusted_low": low,
        "adjusted_high": high,
        "n_people": n_people,
        "primary_order": 1,
    }
    contrast = example.table("contrast", [row])
    study = example.study(
        primary=[
            {
                "outcome": outcome,
                "by": by,
                "level": levels[-1],
                "reference": levels[0],
            }
        ]
    )
    return release(example.replaced(BASE, contrast=contrast), study)


@pytest.mark.parametrize(
    ("low", "high", "title"),
    [
        (-0.2, -0.04, "Exhaustion fell by 0.12 points from 2022-23 to 2025-26"),
        (0.04, 0.2, "Exhaustion rose by 0.12 points from 2022-23 to 2025-26"),
        (
            -0.12,
            0.05,
            f"No clear change in exhaustion {SPAN} ({MINUS}0.12 to 0.05)",
        ),
        # On the limit: an interval that ends at zero does not exclude it.
        (
            -0.2,
            0.0,
            f"No clear change in exhaustion {SPAN} ({MINUS}0.20 to 0.00)",
        ),
    ],
)
def test_a_title_names_a_direction_only_where_zero_is_excluded(
    low: float, high: float, title: str
) -> None:
    finding = title_finding(with_contrast(low, high), "exhaustion", by="academic_year")
    assert finding is not None
    assert finding.title == title


def test_a_limit_near_zero_gets_the_decimals_that_show_its_side() -> None:
    (finding,) = primary_findings(with_contrast(-0.2, -0.003))
    assert f"{MINUS}0.200 to {MINUS}0.003" in finding.sentence


@pytest.mark.parametrize(
    ("outcome", "word"), [("exhaustion", "better"), ("environment", "worse")]
)
def test_a_fall_is_for_the_better_only_where_higher_is_worse(
    outcome: str, word: str
) -> None:
    (finding,) = primary_findings(with_contrast(-8.0, -4.0, outcome=outcome))
    assert finding.sentence.count(f"a change for the {word}") == 1


def test_class_years_differ_and_do_not_change() -> None:
    (finding,) = primary_findings(with_contrast(0.1, 0.3, by="class_year"))
    assert finding.title == "Exhaustion was 0.20 points higher in M4 than in M1"
    (null,) = primary_findings(with_contrast(-0.1, 0.3, by="class_year"))
    assert null.title.startswith("No clear difference in exhaustion between M1 and M4")


def test_primaries_keep_their_declared_order_null_or_not() -> None:
    found = primary_findings(release(BASE, example.study()))
    assert [f.outcome for f in found] == [
        "exhaustion",
        "disengagement",
        "environment",
        "distress",
    ]
    assert [f.clear for f in found] == [True, False, True, False]


def test_a_primary_that_was_not_estimated_says_so() -> None:
    none = BASE.contrast.filter(pl.col("outcome") != "distress")
    found = primary_findings(
        release(example.replaced(BASE, contrast=none), example.study())
    )
    assert "not estimated with the waves up to 2025-26" in found[3].sentence


def test_a_primary_that_is_held_back_says_why() -> None:
    (finding,) = primary_findings(with_contrast(-0.2, -0.1, n_people=9))
    assert finding.sentence.endswith("not shown (fewer than 10 people).")
    assert not finding.clear


def test_methods_say_what_the_model_is_and_what_z_cannot_do() -> None:
    text = " ".join(methods(release(BASE, example.study())))
    assert "academic_year + class_year + (1 | student) + (1 | community)" in text
    assert "statsmodels MixedLM" in text
    assert "large-sample z" in text
    assert "11 communities are few" in text
    assert "z intervals are too short" in text
    assert "up to 35 in one outcome" in text
    assert "Singular fit for depressive symptoms (PHQ-9)" in text


def test_many_communities_are_not_called_few() -> None:
    fit = BASE.fit.with_columns(n_communities=pl.lit(80, dtype=pl.Int64))
    shown = release(example.replaced(BASE, fit=fit), example.study())
    assert "communities are few" not in " ".join(methods(shown))


def test_limits_fit_the_study() -> None:
    base = release(BASE, example.study())
    unlinked = release(BASE, example.study(key={"kind": "none"}, synthetic=False))
    assert any("invented" in sentence for sentence in limits(base))
    assert not any("invented" in sentence for sentence in limits(unlinked))
    assert any("cannot be followed" in sentence for sentence in limits(unlinked))


def test_words_are_made_of_released_values_only() -> None:
    for make in (primary_findings, methods, limits):
        with pytest.raises(DisclosureError):
            make(BASE)  # type: ignore[arg-type]
    with pytest.raises(DisclosureError):
        contrast_finding(BASE, {})  # type: ignore[arg-type]
