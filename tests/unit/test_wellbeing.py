"""A year's result tables: which rows there are, whom they count, what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from analyses.descriptives import bin_edges, distribution, observed_means
from analyses.flow import response_flow
from analyses.frames import ModelFrame, model_frame
from analyses.wellbeing import WellbeingTables, analyse_year
from data_contracts.errors import InternalError
from data_contracts.study import Study
from data_contracts.tables import TABLES, check_table, empty

YEARS = ("2023-24", "2024-25", "2025-26")
CLASSES = ("M1", "M2", "M3", "M4")
WAVES = tuple(f"{year}_{term}" for year in YEARS for term in ("fall", "spring"))
FORMULA = "academic_year + class_year + (1 | student) + (1 | community)"


def _opened(wave: str) -> date:
    start = int(wave[:4])
    return date(start, 10, 1) if wave.endswith("fall") else date(start + 1, 3, 1)


def _study(**changes: object) -> Study:
    measure = {"label": "x", "minimum": 0, "maximum": 10, "higher_is": "worse"}
    settings: dict[str, object] = {
        "lcwaves": 1,
        "id": "small",
        "title": "A small study",
        "academic_years": YEARS,
        "class_years": CLASSES,
        "campuses": ["main"],
        "communities": [{"id": f"c{i}", "name": f"House {i}"} for i in range(5)],
        "key": {"kind": "pseudonym"},
        "rosters": {"membership": {"file": "m.csv", "columns": {}}},
        "instruments": {"a": {"measure": measure}, "b": {"measure": measure}},
        "waves": [
            {
                "id": wave,
                "academic_year": wave[:7],
                "opened": _opened(wave),
                "closed": _opened(wave),
                "file": "answers.csv",
                "format": "tabular",
                "columns": {"key": "id"},
                "instruments": {"a": {"items": ["a"]}, "b": {"items": ["b"]}},
            }
            for wave in WAVES
        ],
        "outcomes": [
            {"id": "exhaustion", "scale": "a.score", "label": "Exhaustion"},
            {"id": "distress", "scale": "b.score", "label": "Distress"},
        ],
        "primary": [
            {
                "outcome": "exhaustion",
                "by": "academic_year",
                "level": "2025-26",
                "reference": "2023-24",
            },
            {
                "outcome": "distress",
                "by": "class_year",
                "level": "M1",
                "reference": "M3",
            },
        ],
        "models": [
            {"id": "main", "formula": FORMULA, "outcomes": ["exhaustion", "distress"]}
        ],
    }
    return Study.model_validate(settings | changes)


def _tables(n_entering: int = 20) -> dict[str, pl.DataFrame]:
    """Stored tables of a simulated study; every fifth person does not answer."""
    random = np.random.default_rng(7)
    members: list[dict[str, Any]] = []
    responses: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for cohort in range(-3, 3):
        for k in range(n_entering):
            person = f"p{cohort:+d}.{k:02d}"
            level = 5.0 + random.normal()
            for year in range(max(cohort, 0), min(cohort + 4, 3)):
                place = {
                    "participant": person,
                    "community": f"c{k % 5}",
                    "class_year": CLASSES[year - cohort],
                    "campus": "main",
                }
                start = 2023 + year
                days = (date(start, 8, 1), date(start + 1, 7, 31))
                members.append(
                    place | dict(zip(("valid_from", "valid_to"), days, strict=True))
                )
                if k % 5 == 0:
                    continue
                for term in ("fall", "spring"):
                    seen = {
                        "participant": person,
                        "wave": f"{YEARS[year]}_{term}",
                        "academic_year": YEARS[year],
                    }
                    responses.append(
                        seen
                        | {"status": "complete", "file_digest": "d", "row_number": 2}
                    )
                    for scale, shift in (("a", -0.5 * year), ("b", 0.0)):
                        value = float(np.clip(level + shift + random.normal(), 0, 10))
                        scores.append(
                            seen
                            | {
                                "scale": f"{scale}.score",
                                "value": value,
                                "n_answered": 1,
                                "n_items": 1,
                            }
                        )
    return {
        "membership": pl.DataFrame(members, schema=TABLES["membership"].schema),
        "response": pl.DataFrame(responses, schema=TABLES["response"].schema),
        "score": pl.DataFrame(scores, schema=TABLES["score"].schema),
        "covariate": empty("covariate"),
        "participant": empty("participant"),
    }


@pytest.fixture(scope="module")
def stored() -> dict[str, pl.DataFrame]:
    return _tables()


def _frame(
    stored: dict[str, pl.DataFrame], study: Study, year: str = YEARS[-1]
) -> ModelFrame:
    return model_frame(study, analysis_year=year, **stored)


@pytest.fixture(scope="module")
def tables(stored: dict[str, pl.DataFrame]) -> WellbeingTables:
    return analyse_year(_study(), frame=_frame(stored, _study()))


def test_every_declared_question_has_its_rows(tables: WellbeingTables) -> None:
    counts = tables.estimate.group_by("outcome", "quantity", "by").len()
    found = {tuple(r[:3]): r[3] for r in counts.rows()}

    for outcome in ("exhaustion", "distress"):
        assert {k[1:]: n for k, n in found.items() if k[0] == outcome} == {
            ("observed_mean", "academic_year"): 3,
            ("observed_mean", "class_year"): 4,
            ("observed_mean", "academic_year:class_year"): 12,
            ("marginal_mean", "academic_year"): 3,
            ("marginal_mean", "class_year"): 4,
            ("coefficient", "fixed"): 6,
        }
    assert (
        tables.variance_component["group"].to_list()
        == [
            "student",
            "community",
            "residual",
        ]
        * 2
    )
    assert tables.fit["outcome"].to_list() == ["exhaustion", "distress"]
    # All of c0 are silent.
    assert tables.fit["n_communities"].to_list() == [4, 4]


def test_tables_are_as_declared(tables: WellbeingTables) -> None:
    for name in ("estimate", "contrast", "variance_component", "fit"):
        findings = check_table(name, getattr(tables, name))
        assert all(f.passed for f in findings), findings


def test_contrasts_are_later_minus_earlier_in_families(tables: WellbeingTables) -> None:
    exhaustion = tables.contrast.filter(
        (pl.col("outcome") == "exhaustion") & pl.col("primary_order").is_null()
    )
    years = exhaustion.filter(pl.col("by") == "academic_year")

    assert years.select("level", "reference").rows() == [
        ("2024-25", "2023-24"),
        ("2025-26", "2023-24"),
        ("2025-26", "2024-25"),
    ]
    assert set(years["adjustment"]) == {"Holm over 3 academic_year contrasts"}
    assert exhaustion.filter(pl.col("by") == "class_year").height == 6
    # Planted: half a point a year downwards; 4 standard errors around it.
    off = (years["estimate"] - pl.Series([-0.5, -1.0, -0.5])) / years["std_error"]
    assert off.abs().to_numpy().max() < 4.0


def test_primaries_are_one_family_in_declared_order(tables: WellbeingTables) -> None:
    rows = tables.contrast.filter(pl.col("primary_order").is_not_null())
    twin = tables.contrast.filter(
        (pl.col("outcome") == "distress")
        & (pl.col("level") == "M3")
        & (pl.col("reference") == "M1")
    )

    assert rows.select("primary_order", "outcome", "level", "reference").rows() == [
        (1, "exhaustion", "2025-26", "2023-24"),
        (2, "distress", "M1", "M3"),
    ]
    assert set(rows["adjustment"]) == {"Holm over 2 primary contrasts"}
    # Declared the other way round than the factor's own family.
    assert rows["estimate"][1] == pytest.approx(-twin["estimate"][0])
    assert rows["n_people"][1] == twin["n_people_reference"][0]
    p = sorted(rows["p_value"])
    assert min(rows["p_adjusted"]) == pytest.approx(min(1.0, 2 * p[0]))


def test_the_first_year_works_without_the_year_term(
    stored: dict[str, pl.DataFrame],
) -> None:
    study = _study()
    first = analyse_year(study, frame=_frame(stored, study, YEARS[0]))
    primaries = first.contrast.filter(pl.col("primary_order").is_not_null())

    assert "academic_year" not in first.fit["formula"][0]
    assert "only academic year" in first.fit["note"][0]
    # The primary between years cannot be answered yet; the other keeps its place.
    assert primaries["primary_order"].to_list() == [2]
    assert primaries["adjustment"].to_list() == ["Holm over 1 primary contrast"]
    assert set(first.estimate["analysis_year"]) == {YEARS[0]}


def test_a_refused_model_is_told_and_the_others_go_on(
    stored: dict[str, pl.DataFrame],
) -> None:
    models = [
        {"id": "wrong", "formula": "nowhere", "outcomes": ["exhaustion"]},
        {"id": "main", "formula": "class_year", "outcomes": ["distress"]},
    ]
    study = _study(models=models)
    seen: list[str] = []

    told = analyse_year(study, frame=_frame(stored, study), progress=seen.append)

    refused = told.refusal.row(0, named=True)
    assert (refused["model"], refused["outcome"]) == ("wrong", "exhaustion")
    assert "no column 'nowhere'" in refused["note"]
    assert told.refusal.height == 1
    assert seen == ["wrong: exhaustion", "main: distress"]
    assert told.fit["model"].to_list() == ["main"]


def test_a_study_without_models_is_described(stored: dict[str, pl.DataFrame]) -> None:
    study = _study(models=[], primary=[])
    told = analyse_year(study, frame=_frame(stored, study))

    assert set(told.estimate["model"]) == {"observed"}
    assert told.fit.is_empty()
    assert told.contrast.is_empty()


def test_a_declared_subset_is_fitted_and_said(stored: dict[str, pl.DataFrame]) -> None:
    model = {
        "id": "part",
        "formula": FORMULA,
        "outcomes": ["exhaustion"],
        "only": {"community": ["c1", "c2", "c3"]},
    }
    study = _study(models=[model], primary=[])
    told = analyse_year(study, frame=_frame(stored, study))

    assert told.fit["n_communities"].to_list() == [3]
    assert told.fit["note"][0].startswith(
        "Fitted to a declared subset: 3 levels of community."
    )


def _observed(rows: list[tuple[str, str | None, str, float | None]]) -> ModelFrame:
    data = pl.DataFrame(
        rows,
        schema=["student", "class_year", "academic_year", "exhaustion"],
        orient="row",
    ).with_columns(pl.lit("c1").alias("community"))
    levels = {"class_year": CLASSES, "academic_year": YEARS}
    return ModelFrame(YEARS[-1], data, levels, ("exhaustion",), is_linked=True)


def test_observed_means_and_their_clustered_errors_by_hand() -> None:
    # Mean 3. Deviations summed within people: -2, 2. 2 / 1 * (4 + 4) = 16; 4 / 3.
    frame = _observed(
        [
            ("p", "M1", "2023-24", 1.0),
            ("p", "M1", "2023-24", 3.0),
            ("q", "M1", "2023-24", 5.0),
            ("q", "M1", "2023-24", None),
            ("r", "M2", "2024-25", 7.0),
            ("s", None, "2024-25", 8.0),
        ]
    )
    rows = observed_means(frame)
    m1 = rows.filter(pl.col("level") == "M1").row(0, named=True)
    m2 = rows.filter(pl.col("level") == "M2").row(0, named=True)
    year = rows.filter(pl.col("level") == "2024-25").row(0, named=True)

    assert (m1["estimate"], m1["n_people"], m1["n_answers"]) == (3.0, 2, 3)
    assert m1["std_error"] == pytest.approx(4.0 / 3.0)
    # t with 1 df: 12.7062.
    assert m1["conf_high"] - 3.0 == pytest.approx(12.7062047 * 4.0 / 3.0)
    assert m1["df_method"] == "people minus 1"
    assert (m2["n_people"], m2["std_error"], m2["conf_low"]) == (1, None, None)
    assert (year["estimate"], year["n_people"]) == (7.5, 2)
    assert "2024-25 : M2" in rows["level"].to_list()


def test_observed_error_of_unlinked_people_is_the_usual_one() -> None:
    values = [1.0, 2.0, 4.0, 9.0]
    frame = _observed([(f"p{i}", "M1", "2023-24", v) for i, v in enumerate(values)])
    row = observed_means(frame).filter(pl.col("level") == "M1").row(0, named=True)

    assert row["std_error"] == pytest.approx(np.std(values, ddof=1) / 2.0)


@pytest.mark.parametrize(
    ("low", "high", "whole", "width", "bins"),
    [
        (1.0, 4.0, False, 0.25, 12),  # OLBI mean
        (0.0, 27.0, True, 2.0, 14),  # PHQ-9
        (0.0, 200.0, True, 20.0, 10),  # DREEM
        (0.0, 48.0, True, 4.0, 12),  # DREEM SPL
        (0.0, 5.0, True, 1.0, 5),
        (0.0, 1000.0, False, 100.0, 10),
    ],
)
def test_bins_are_round_and_span_the_range(
    low: float, high: float, whole: bool, width: float, bins: int
) -> None:
    edges = bin_edges(low, high, whole=whole)

    assert len(edges) == bins + 1
    assert (edges[0], edges[-1]) == (low, high)
    np.testing.assert_allclose(np.diff(edges)[:-1], width)


def test_distribution_counts_people_once_per_bin_and_year() -> None:
    frame = _observed(
        [
            ("p", "M1", "2023-24", 1.0),
            ("p", "M1", "2023-24", 1.5),  # the same bin: once
            ("p", "M1", "2023-24", 10.0),  # the upper end belongs to the last bin
            ("q", "M1", "2023-24", 2.0),  # an edge belongs to the bin above it
            ("q", "M1", "2024-25", 0.0),
        ]
    )
    study = _study(outcomes=[{"id": "exhaustion", "scale": "a.score", "label": "E"}])
    rows = distribution(study, frame)
    people = {
        (r["academic_year"], r["bin_low"]): r["n_people"] for r in rows.to_dicts()
    }

    assert all(f.passed for f in check_table("distribution", rows))
    assert rows.height == 2 * 10
    assert {k: n for k, n in people.items() if n} == {
        ("2023-24", 1.0): 1,
        ("2023-24", 2.0): 1,
        ("2023-24", 9.0): 1,
        ("2024-25", 0.0): 1,
    }


def test_a_score_outside_its_range_is_our_mistake() -> None:
    study = _study(outcomes=[{"id": "exhaustion", "scale": "a.score", "label": "E"}])

    with pytest.raises(InternalError, match="1 scores of exhaustion lie outside"):
        distribution(study, _observed([("p", "M1", "2023-24", 10.5)]))


def test_flow_counts_people_from_roster_to_analysis(
    stored: dict[str, pl.DataFrame],
) -> None:
    study = _study()
    wave = WAVES[0]
    person = "p+0.01"
    here = (pl.col("participant") == person) & (pl.col("wave") == wave)
    guest = stored["response"].filter(here).with_columns(participant=pl.lit("guest"))
    tables = stored | {
        "response": pl.concat([stored["response"], guest]),
        # One member answered and has no score.
        "score": stored["score"].filter(~here),
    }
    rows = response_flow(study, _frame(tables, study), membership=tables["membership"])
    first = rows.filter(pl.col("wave") == wave)

    def people(by: str, level: str) -> dict[str, int]:
        cell = first.filter((pl.col("by") == by) & (pl.col("level") == level))
        return dict(cell.select("stage", "n_people").iter_rows())

    assert all(f.passed for f in check_table("response_flow", rows))
    # 4 cohorts of 20 in the first year; every fifth does not answer.
    assert people("all", "all") == {
        "eligible": 80,
        "answered": 65,
        "linked": 64,
        "analysed": 63,
    }
    assert people("class_year", "M1") == {
        "eligible": 20,
        "answered": 16,
        "linked": 16,
        "analysed": 15,
    }
    # All of c0 are silent: a zero is a row, not a gap.
    assert people("community", "c0") == {
        "eligible": 16,
        "answered": 0,
        "linked": 0,
        "analysed": 0,
    }


def test_flow_without_roster_begins_at_answered(
    stored: dict[str, pl.DataFrame],
) -> None:
    study = _study(rosters={})
    frame = _frame(stored | {"membership": empty("membership")}, study)
    rows = response_flow(study, frame, membership=empty("membership"))

    assert set(rows["stage"]) == {"answered", "analysed"}
    assert set(rows["by"]) == {"all"}  # nobody said where they were


def test_flow_of_a_year_has_only_waves_received(
    stored: dict[str, pl.DataFrame],
) -> None:
    study = _study()
    late = stored["response"].filter(pl.col("wave") != WAVES[-1])
    frame = _frame(stored | {"response": late}, study)
    rows = response_flow(study, frame, membership=stored["membership"])

    assert set(rows["wave"]) == set(WAVES[:-1])
