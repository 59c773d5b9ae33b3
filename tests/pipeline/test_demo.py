"""The whole graph on a synthetic study with known truth."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from analyses.formula import parse_formula
from analyses.frames import model_frame
from analyses.models import fit_outcome
from data_contracts.study_file import load_study
from data_contracts.synthetic import write_synthetic_study
from pipelines import open_study
from pipelines.runs import StudyRun
from pipelines.settings import dagster_home
from pipelines.store import StudyStore
from tests.pipeline.conftest import YEAR, Demo


def test_quarantine_is_exactly_what_was_planted(demo: Demo) -> None:
    with open_study(demo.folder) as study:
        found = Counter(
            study.table("quarantine").select("source", "rule", "extent").iter_rows()
        )
    planted = Counter(
        {(f.wave, f.rule, f.extent): f.count for f in demo.truth.faults if f.count}
    )
    assert found == planted


def test_every_row_of_every_file_is_accepted_or_set_aside(demo: Demo) -> None:
    with open_study(demo.folder) as study:
        received = dict(study.table("wave").select("wave", "rows_read").iter_rows())
        accepted = dict(study.table("response").group_by("wave").len().iter_rows())
        rows = study.table("quarantine").filter(pl.col("extent") == "row")
        aside = dict(rows.group_by("source").len().iter_rows())
    for wave in demo.truth.waves:
        assert received[wave.wave] == wave.rows_in_file
        assert accepted[wave.wave] == wave.rows_accepted
        assert accepted[wave.wave] + aside.get(wave.wave, 0) == wave.rows_in_file


@pytest.mark.parametrize(
    "outcome", ["exhaustion", "disengagement", "environment", "distress"]
)
def test_the_model_recovers_the_truth(demo: Demo, outcome: str) -> None:
    truth = demo.truth.outcome(outcome)
    with open_study(demo.folder, year=YEAR) as study:
        rows = study.table("estimate").filter(
            (pl.col("outcome") == outcome) & (pl.col("quantity") == "coefficient")
        )
        got = {
            level: (estimate, se)
            for level, estimate, se in rows.select(
                "level", "estimate", "std_error"
            ).iter_rows()
        }
        shares = dict(
            study.table("variance_component")
            .filter(pl.col("outcome") == outcome)
            .select("group", "share")
            .iter_rows()
        )
    # Four standard errors: one seeded data set, 24 coefficients over the outcomes.
    for factor, effects in (
        ("academic_year", truth.academic_year),
        ("class_year", truth.class_year),
    ):
        for effect in effects[1:]:
            estimate, se = got[f"{factor}[{effect.level}]"]
            assert abs(estimate - effect.effect) < 4 * se, (factor, effect.level)
    assert 0 <= shares["community"] <= 0.08


@pytest.mark.parametrize(
    "outcome", ["exhaustion", "disengagement", "environment", "distress"]
)
def test_random_intercepts_recover_the_true_variances(demo: Demo, outcome: str) -> None:
    """The truth states variances for the model with random intercepts alone."""
    truth = demo.truth.outcome(outcome)
    with open_study(demo.folder) as study:
        names = ("response", "score", "covariate", "membership", "participant")
        tables = {t: study.table(t) for t in names}
    frame = model_frame(load_study(demo.folder), analysis_year=YEAR, **tables)
    spec = parse_formula("academic_year + class_year + (1 | student) + (1 | community)")
    rows = fit_outcome(spec, frame, outcome=outcome).variance_components()
    variances = dict(rows.select("group", "variance").iter_rows())
    # Distress is skewed and worse people answer less: see synthetic_truth.
    assert variances["student"] == pytest.approx(truth.student_variance, rel=0.2)
    assert variances["residual"] == pytest.approx(truth.residual_variance, rel=0.2)


def test_the_engine_agrees_with_statsmodels(demo: Demo) -> None:
    home = dagster_home(demo.folder)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        key = dg.AssetCheckKey(dg.AssetKey("out_fit"), "agrees_with_statsmodels")
        storage = instance.event_log_storage
        (record,) = storage.get_latest_asset_check_execution_by_key([key]).values()
        event = record.event
    assert event is not None
    evaluation = event.dagster_event.event_specific_data  # type: ignore[union-attr]
    assert evaluation.passed  # type: ignore[union-attr]
    assert evaluation.metadata["compared"].value is True  # type: ignore[union-attr]


def test_declared_primaries_are_there_in_their_order(demo: Demo) -> None:
    with open_study(demo.folder, year=YEAR) as study:
        primaries = (
            study.table("contrast")
            .filter(pl.col("primary_order").is_not_null())
            .sort("primary_order")
        )
    assert primaries.get_column("outcome").to_list() == [
        "exhaustion", "environment", "exhaustion",
    ]  # fmt: skip


def test_response_flow_matches_the_truth(demo: Demo) -> None:
    with open_study(demo.folder, year=YEAR) as study:
        flow = study.table("response_flow").filter(pl.col("by") == "all")
        counts = {
            (w, s): n
            for w, s, n in flow.select("wave", "stage", "n_people").iter_rows()
        }
    for wave in demo.truth.waves:
        assert counts[wave.wave, "eligible"] == wave.eligible
        assert counts[wave.wave, "answered"] == wave.rows_accepted


def test_results_carry_people_behind_every_cell(demo: Demo) -> None:
    with open_study(demo.folder, year=YEAR) as study:
        estimates = study.table("estimate")
        people = study.table("score").filter(pl.col("value").is_not_null())
    most = people.get_column("participant").n_unique()
    assert estimates.filter(pl.col("n_people") > most).is_empty()
    assert estimates.filter(pl.col("n_people") > pl.col("n_answers")).is_empty()


def test_draft_pins_the_manifest_of_its_waves(demo: Demo) -> None:
    provenance = json.loads(
        (demo.folder / "drafts" / YEAR / "provenance.json").read_text("utf-8")
    )
    store = StudyStore(demo.folder)
    pinned = store.pinned(provenance["manifest_digest"])
    assert {e.partition for e in pinned.of("score")} == {
        w.wave for w in demo.truth.waves
    }
    for entry in pinned.entries:
        assert (store.root / entry.path).is_file()
    assert [w["wave"] for w in provenance["waves"]] == [
        w.wave for w in demo.truth.waves
    ]


def test_materializations_tell_rows_and_checks_passed(demo: Demo) -> None:
    home = dagster_home(demo.folder)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        key = dg.AssetKey("core_quarantine")
        records = instance.fetch_materializations(key, limit=20).records
        assert {r.partition_key for r in records} == {w.wave for w in demo.truth.waves}
        for record in records:
            event = record.asset_materialization
            assert event is not None
            rows = event.metadata["dagster/row_count"].value
            planted = sum(
                f.count for f in demo.truth.faults if f.wave == record.partition_key
            )
            assert rows == planted
        checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(dg.AssetKey("core_score"), "as_declared")]
        )
        assert [c.status.value for c in checks.values()] == ["SUCCEEDED"]


SENTINELS = (
    b"example.org",
    b"192.0.2.",
    b"Kettlewick",
    b"invented comment",
    b"invented-0",
)


def test_planted_names_mails_addresses_and_keys_are_nowhere(demo: Demo) -> None:
    raw = b"".join(p.read_bytes() for p in sorted((demo.folder / "raw").rglob("*.csv")))
    planted = [s for s in SENTINELS if s in raw]
    assert len(planted) >= 4, "the sentinels moved: look at synthetic_files"
    keys = set(re.findall(rb"\bP\d{5}\b", raw))
    assert len(keys) > 1000
    for path in sorted(demo.folder.rglob("*")):
        if not path.is_file() or "raw" in path.relative_to(demo.folder).parts:
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":  # compressed: look at what it holds
            content = pl.read_parquet(path).write_csv().encode()
        assert not [s for s in planted if s in content], path
        assert not keys & set(re.findall(rb"\bP\d{5}\b", content)), path


def test_no_person_leaves_the_study(demo: Demo) -> None:
    with open_study(demo.folder) as study:
        people = study.table("participant").get_column("participant").to_list()
    for folder in ("drafts", "published", ".dagster", "ledger"):
        for path in sorted((demo.folder / folder).rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                assert not [p for p in people[:400] if p.encode() in content], path


def test_published_folder_opens_offline_and_is_marked_as_invented(demo: Demo) -> None:
    page = (demo.folder / "published" / YEAR / "index.html").read_text("utf-8")
    assert "Invented data" in page
    assert not re.findall(
        r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.https?:", page
    )


def test_the_same_study_gives_the_same_bytes(demo: Demo, tmp_path: Path) -> None:
    again = tmp_path / "study"
    write_synthetic_study(again)
    run = StudyRun(again, figures="none")
    try:
        for wave in run.place.study.waves[:2]:
            if wave == run.place.study.waves[0]:
                run.rosters()
            run.wave(wave.id, publish=False)
    finally:
        run.close()
    here, there = StudyStore(again).manifest, StudyStore(demo.folder).manifest
    assert len(here.entries) > 10
    for entry in here.entries:
        assert there.entry(entry.table, entry.partition) == entry
