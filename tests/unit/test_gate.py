"""The release gate: at each limit, beside it, and against what it does not know."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.errors import DisclosureError
from data_contracts.policy import ReleasePolicy
from reports.disclosure import (
    Release,
    Released,
    canonical,
    release,
    reopen_release,
    require_release,
    to_json,
)
from reports.disclosure.cells import merge_bins, suppressed_cells
from tests.unit import year_results as example

BASE = example.year_results()
STUDY = example.study()
CROSSED = "academic_year:class_year"


def changed(frame: pl.DataFrame, where: pl.Expr, **values: Any) -> pl.DataFrame:
    """The frame with some columns set where a condition holds."""
    return frame.with_columns(
        pl.when(where)
        .then(pl.lit(v))
        .otherwise(pl.col(c))
        .cast(frame[c].dtype)
        .alias(c)
        for c, v in values.items()
    )


def cell_of(shown: Release, level: str = "2025-26 : M4") -> dict[str, Any]:
    return (
        shown.rows("estimate")
        .filter(
            (pl.col("outcome") == "exhaustion")
            & (pl.col("by") == CROSSED)
            & (pl.col("level") == level)
        )
        .row(0, named=True)
    )


@pytest.mark.parametrize(("people", "hidden"), [(9, True), (10, False), (11, False)])
def test_a_mean_needs_the_minimum_of_people(people: int, hidden: bool) -> None:
    row = cell_of(release(example.with_small_cell(people), STUDY))
    assert row["suppressed"] is hidden
    assert (row["estimate"] is None) is hidden
    assert (row["std_error"], row["conf_low"], row["n_answers"]) == (
        (None, None, None)
        if hidden
        else (row["std_error"], row["conf_low"], row["n_answers"])
    )
    assert row["n_people"] == (None if hidden else 10)
    assert row["reason"] == ("fewer than 10 people" if hidden else None)


def test_a_small_cell_takes_the_next_smallest_of_its_lines_with_it() -> None:
    shown = release(example.with_small_cell(3), STUDY).rows("estimate")
    hidden = shown.filter(pl.col("suppressed") & (pl.col("outcome") == "exhaustion"))
    reasons = dict(hidden.select("level", "reason").iter_rows())
    beside = "would give away a cell that is too small"
    # M3 is the next smallest of 2025-26, and 2022-23 of M4; their crossing closes it.
    assert reasons == {
        "2025-26 : M4": "fewer than 10 people",
        "2025-26 : M3": beside,
        "2022-23 : M4": beside,
        "2022-23 : M3": beside,
    }


@pytest.mark.parametrize(("people", "hidden"), [(9, True), (10, False), (11, False)])
@pytest.mark.parametrize("side", ["n_people", "n_people_reference"])
def test_a_contrast_needs_the_minimum_on_both_sides(
    side: str, people: int, hidden: bool
) -> None:
    contrast = changed(BASE.contrast, pl.col("level") == "M4", **{side: people})
    shown = release(example.replaced(BASE, contrast=contrast), STUDY).rows("contrast")
    rows = shown.filter(pl.col("level") == "M4")
    assert rows["suppressed"].to_list() == [hidden] * rows.height
    assert (rows["estimate"].null_count() == rows.height) is hidden


def test_a_hidden_mean_hides_its_contrasts_and_coefficients() -> None:
    small = (pl.col("by") == "class_year") & (pl.col("level") == "M4")
    shown = release(
        example.replaced(BASE, estimate=changed(BASE.estimate, small, n_people=4)),
        STUDY,
    )
    contrasts = shown.rows("contrast").filter(pl.col("level") == "M4")
    term = shown.rows("estimate").filter(pl.col("level") == "class_year[M4]")
    assert contrasts["suppressed"].all()
    assert term["suppressed"].all()


def test_a_hidden_reference_hides_the_intercept_and_every_term_against_it() -> None:
    small = (pl.col("by") == "class_year") & (pl.col("level") == "M1")
    shown = release(
        example.replaced(BASE, estimate=changed(BASE.estimate, small, n_people=4)),
        STUDY,
    ).rows("estimate")
    terms = shown.filter(
        (pl.col("quantity") == "coefficient") & (pl.col("outcome") == "exhaustion")
    )
    shown_terms = terms.filter(~pl.col("suppressed"))["level"]
    assert all("academic_year" in t for t in shown_terms)
    assert len(shown_terms) == 3


@pytest.mark.parametrize(("df", "held"), [(9.0, True), (10.0, False), (11.0, False)])
def test_a_model_needs_residual_degrees_of_freedom(df: float, held: bool) -> None:
    fit = changed(BASE.fit, pl.col("outcome") == "exhaustion", df=df)
    shown = release(example.replaced(BASE, fit=fit), STUDY)
    of_model = shown.rows("contrast").filter(pl.col("outcome") == "exhaustion")
    observed = shown.rows("estimate").filter(
        (pl.col("outcome") == "exhaustion") & (pl.col("quantity") == "observed_mean")
    )
    assert of_model.is_empty() is held
    assert observed.height > 0


def test_a_large_sample_z_has_its_answers_less_coefficients_as_residual_df() -> None:
    # Seven coefficients: 16 answers leave 9, 17 leave 10.
    for answers, held in ((16, True), (17, False)):
        fit = changed(BASE.fit, pl.col("outcome") == "exhaustion", n_answers=answers)
        shown = release(example.replaced(BASE, fit=fit), STUDY).rows("fit")
        row = shown.filter(pl.col("outcome") == "exhaustion").row(0, named=True)
        assert row["suppressed"] is held


@pytest.mark.parametrize(("people", "held"), [(9, True), (10, False), (11, False)])
def test_a_model_needs_the_minimum_of_people(people: int, held: bool) -> None:
    fit = changed(BASE.fit, pl.col("outcome") == "distress", n_people=people)
    shown = release(example.replaced(BASE, fit=fit), STUDY)
    of_model = shown.rows("variance_component").filter(pl.col("outcome") == "distress")
    assert of_model.is_empty() is held


@pytest.mark.parametrize(("levels", "hidden"), [(2, True), (3, False), (4, False)])
def test_the_spread_between_communities_needs_three_of_them(
    levels: int, hidden: bool
) -> None:
    group = pl.col("group") == "community"
    component = changed(BASE.variance_component, group, n_levels=levels)
    shown = release(example.replaced(BASE, variance_component=component), STUDY).rows(
        "variance_component"
    )
    rows = shown.filter(pl.col("group") == "community")
    assert rows["suppressed"].to_list() == [hidden] * 4
    # Shares add up to one, so all go with it.
    assert (shown["share"].null_count() == shown.height) is hidden
    if not hidden:
        assert set(rows["n_levels"]) == {levels}


@pytest.mark.parametrize(("rows", "shown_as"), [(9, None), (10, 10), (11, 10)])
def test_what_was_set_aside_is_rounded_and_small_counts_hidden(
    rows: int, shown_as: int | None
) -> None:
    set_aside = example.set_aside([("2025-26_fall", "unknown_key", "row", rows)])
    shown = release(example.replaced(BASE, set_aside=set_aside), STUDY)
    row = shown.rows("set_aside").row(0, named=True)
    assert row["n_rows"] == shown_as
    assert (row["reason"] == "fewer than 10") is (shown_as is None)


@pytest.mark.parametrize(("people", "hidden"), [(9, True), (10, False), (11, False)])
def test_a_stage_of_the_response_flow_needs_the_minimum(
    people: int, hidden: bool
) -> None:
    cell = (
        (pl.col("wave") == "2025-26_fall")
        & (pl.col("level") == "M4")
        & (pl.col("stage") == "analysed")
    )
    flow = changed(BASE.response_flow, cell, n_people=people)
    shown = release(example.replaced(BASE, response_flow=flow), STUDY).rows(
        "response_flow"
    )
    stage = shown.filter(
        (pl.col("wave") == "2025-26_fall")
        & (pl.col("by") == "class_year")
        & (pl.col("stage") == "analysed")
    )
    assert stage["suppressed"].sum() == (2 if hidden else 0)
    assert stage.filter(pl.col("level") == "M4")["percent"].is_null()[0] is hidden


def test_percentages_come_from_rounded_counts() -> None:
    shown = release(BASE, STUDY).rows("response_flow")
    whole = {
        (r["wave"], r["level"]): r["n_people"]
        for r in shown.filter(pl.col("stage") == "eligible").iter_rows(named=True)
    }
    for row in shown.filter(pl.col("stage") == "answered").iter_rows(named=True):
        expected = round(100 * row["n_people"] / whole[row["wave"], row["level"]])
        assert row["percent"] == expected


def test_every_count_is_a_multiple_of_the_base() -> None:
    shown = release(BASE, STUDY)
    for table in ("estimate", "contrast", "fit", "distribution", "response_flow"):
        frame = shown.rows(table)
        for column in (c for c in frame.columns if c.startswith("n_people")):
            assert (frame[column].drop_nulls() % 5 == 0).all()


@pytest.mark.parametrize(
    ("note", "shown_as"),
    [
        ("9 students changed community.", "Fewer than 10 students changed community."),
        ("10 students changed community.", "About 10 students changed community."),
        (
            "38 people left 2 of 11 communities in 2024-25.",
            "About 40 people left 2 of 11 communities in 2024-25.",
        ),
        ("Fitted to 12 levels of school.", "Fitted to 12 levels of school."),
    ],
)
def test_a_note_names_people_only_in_rounded_numbers(note: str, shown_as: str) -> None:
    fit = changed(BASE.fit, pl.lit(value=True), note=note)
    shown = release(example.replaced(BASE, fit=fit), STUDY).rows("fit")
    assert set(shown["note"]) == {shown_as}


def test_a_finer_base_than_the_floor_is_not_used() -> None:
    fine = ReleasePolicy(rounding_base=1)
    frame = release(BASE, STUDY, policy=fine).rows("response_flow")
    assert (frame["n_people"].drop_nulls() % 5 == 0).all()


def test_estimates_keep_a_three_thousandth_of_their_scale() -> None:
    # Full precision would give away the number of people behind a mean.
    frame = release(BASE, STUDY).rows("estimate")
    for outcome, places in (("exhaustion", 3), ("environment", 1), ("distress", 2)):
        values = frame.filter(pl.col("outcome") == outcome)["estimate"]
        assert (values - values.round(places)).abs().max() == pytest.approx(0, abs=1e-9)


def test_no_single_community_is_in_a_release() -> None:
    shown = release(BASE, STUDY)
    text = to_json(shown)
    assert not any(c in text for c in example.COMMUNITIES)
    assert "House" not in text
    held = shown.rows("held_back").filter(pl.col("by") == "community")
    assert set(held["result_table"]) == {"estimate", "response_flow"}
    assert set(held["reason_held"]) == {
        "describes single communities, which this edition never shows"
    }


def test_a_coefficient_of_a_community_is_held_back() -> None:
    term = (pl.col("quantity") == "coefficient") & (pl.col("level") == "class_year[M2]")
    estimate = changed(BASE.estimate, term, level="community[lc07]")
    text = to_json(release(example.replaced(BASE, estimate=estimate), STUDY))
    assert "lc07" not in text


def test_a_cell_of_two_communities_is_hidden() -> None:
    cell = (pl.col("by") == CROSSED) & (pl.col("level") == "2025-26 : M1")
    estimate = changed(BASE.estimate, cell, n_communities=2)
    row = cell_of(
        release(example.replaced(BASE, estimate=estimate), STUDY), "2025-26 : M1"
    )
    assert row["reason"] == "fewer than 3 communities"


def test_a_level_that_the_study_does_not_declare_stays_behind() -> None:
    cell = (pl.col("by") == "class_year") & (pl.col("level") == "M2")
    estimate = changed(BASE.estimate, cell, level="House of Jane Doe")
    shown = release(example.replaced(BASE, estimate=estimate), STUDY)
    assert "Jane" not in to_json(shown)
    assert "a level that the study file does not declare" in set(
        shown.rows("held_back")["reason_held"]
    )


def test_distributions_show_enough_people_in_every_bin_and_no_extremes() -> None:
    frame = release(BASE, STUDY).rows("distribution")
    assert (frame["n_people"] >= 10).all()
    for outcome, low, high in (("exhaustion", 1.0, 4.0), ("distress", 0.0, 27.0)):
        for _, year in frame.filter(pl.col("outcome") == outcome).group_by(
            "academic_year"
        ):
            assert (year["bin_low"].min(), year["bin_high"].max()) == (low, high)


@pytest.mark.parametrize(
    ("table", "frame"),
    [
        ("estimate", BASE.estimate.with_columns(pl.lit("x").alias("email"))),
        ("estimate", BASE.estimate.drop("n_people")),
        ("estimate", changed(BASE.estimate, pl.lit(value=True), quantity="median")),
        ("estimate", changed(BASE.estimate, pl.lit(value=True), outcome="joy")),
        ("estimate", changed(BASE.estimate, pl.col("by") == "class_year", by="mood")),
        ("contrast", changed(BASE.contrast, pl.lit(value=True), by="shoe_size")),
        ("response_flow", changed(BASE.response_flow, pl.col("by") == "all", by="age")),
        ("fit", changed(BASE.fit, pl.lit(value=True), analysis_year="2024-25")),
        ("set_aside", example.set_aside([("fall", "I feel tired, often", "row", 20)])),
    ],
)
def test_what_the_gate_does_not_know_stops_the_release(
    table: str, frame: pl.DataFrame
) -> None:
    with pytest.raises(DisclosureError):
        release(example.replaced(BASE, **{table: frame}), STUDY)


def test_nothing_but_the_gate_makes_released_values() -> None:
    shown = release(BASE, STUDY)
    with pytest.raises(DisclosureError):
        Released("estimate", BASE.estimate)
    with pytest.raises(DisclosureError):
        Released("estimate", BASE.estimate, key=object())
    with pytest.raises(DisclosureError):
        dataclasses.replace(shown, analysis_year="2024-25")
    with pytest.raises(DisclosureError):
        type("Imitation", (Released,), {})
    with pytest.raises(DisclosureError):
        type("Imitation", (Release,), {})
    with pytest.raises(DisclosureError):
        require_release(BASE)


def test_released_values_cannot_be_changed_afterwards() -> None:
    shown = release(BASE, STUDY)
    before = to_json(shown)
    table = shown.tables["estimate"]
    frame = table.frame
    frame[0, "estimate"] = 3.777
    with pytest.raises(DisclosureError):
        table.name = "other"  # type: ignore[misc]
    assert to_json(shown) == before


def test_row_order_does_not_change_a_release() -> None:
    shuffled = example.replaced(
        BASE,
        estimate=BASE.estimate.sample(fraction=1, shuffle=True, seed=3),
        response_flow=BASE.response_flow.reverse(),
    )
    assert to_json(release(shuffled, STUDY)) == to_json(release(BASE, STUDY))


def test_a_release_survives_its_json() -> None:
    text = to_json(release(example.with_small_cell(1), STUDY))
    assert to_json(reopen_release(text)) == text
    assert "NaN" not in text
    assert "Infinity" not in text


def test_a_changed_release_is_refused() -> None:
    text = to_json(release(BASE, STUDY))
    with pytest.raises(DisclosureError, match="changed after the gate"):
        reopen_release(text.replace('"exhaustion"', '"Exhaustion"', 1))
    with pytest.raises(DisclosureError, match="cannot be read"):
        reopen_release("[]")


def test_a_forged_release_is_held_against_the_limits() -> None:
    document = json.loads(to_json(release(BASE, STUDY)))
    table = document["content"]["tables"]["estimate"]
    table["rows"][0][table["columns"].index("n_people")] = 5
    content = canonical(document["content"])
    document["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    with pytest.raises(DisclosureError, match="too few people"):
        reopen_release(canonical(document))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=2, max_size=4
    )
)
def test_no_line_gives_its_hidden_cells_away(rows: list[list[int]]) -> None:
    people: dict[tuple[str, ...], int] = {
        (str(i), str(j)): n for i, row in enumerate(rows) for j, n in enumerate(row)
    }
    hidden = suppressed_cells(people, 10)
    assert {c for c, n in people.items() if n < 10} <= hidden
    for axis in (0, 1):
        for level in {c[axis] for c in people}:
            line = [c for c in people if c[axis] == level]
            inside = [c for c in line if c in hidden]
            together = sum(people[c] for c in inside)
            assert not inside or len(inside) == len(line) or together >= 10


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 3))
def test_merged_bins_keep_everybody_and_surely_hold_enough(
    counts: list[int], repeats: int
) -> None:
    bins = [(float(i), float(i + 1), n) for i, n in enumerate(counts)]
    scale = (0.0, float(len(counts)))
    merged = merge_bins(bins, minimum=10, scale=scale, repeats=repeats)
    if merged:
        assert sum(n for _, _, n in merged) == sum(counts)
        assert (merged[0][0], merged[-1][1]) == scale
        assert all(b[1] == c[0] for b, c in pairwise(merged))
        assert all(n >= 10 for _, _, n in merged)
    else:
        assert max(counts) < 10
