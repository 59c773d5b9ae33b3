"""The synthetic study: its files, its truth and its calibration.

Everything is measured on the files themselves, read with csv and scored by the few
lines below, which share no code with the package. The numbers that are expected
come from STATISTICS.md, section 7, and from the returned truth.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from data_contracts.errors import DataError, MachineError
from data_contracts.study import Study, Wave
from data_contracts.study_file import load_study
from data_contracts.synthetic import write_synthetic_study
from data_contracts.synthetic_truth import Truth

Floats = NDArray[np.float64]

# Written out again here, from INSTRUMENTS.md, so that the test is independent.
EXHAUSTION = [2, 4, 5, 8, 10, 12, 14, 16]
DISENGAGEMENT = [1, 3, 6, 7, 9, 11, 13, 15]
OLBI_REVERSED_IF_1_IS_AGREE = [2, 3, 4, 6, 8, 9, 11, 12]
OLBI_REVERSED_IF_1_IS_DISAGREE = [1, 5, 7, 10, 13, 14, 15, 16]
DREEM_REVERSED = [4, 8, 9, 17, 25, 35, 39, 48, 50]
AGREE_FIRST_WAVES = {"2022-23_spring", "2023-24_fall"}
OUTCOMES = ("exhaustion", "disengagement", "environment", "distress")


@dataclass(frozen=True)
class Row:
    """One data row of a wave file, as its reader needs it."""

    key: str
    cells: tuple[str, ...]
    preview: bool
    finished: bool
    olbi: Floats
    dreem: Floats
    phq: Floats
    wrong_codes: int

    @property
    def answered(self) -> int:
        parts = (self.olbi, self.dreem, self.phq)
        return self.wrong_codes + sum(int((~np.isnan(p)).sum()) for p in parts)


@dataclass(frozen=True)
class Score:
    student: str
    wave: str
    academic_year: str
    class_year: str
    community: str
    values: dict[str, float]


@dataclass(frozen=True)
class Written:
    folder: Path
    study: Study
    truth: Truth
    rows: dict[str, list[Row]]
    membership: dict[str, list[dict[str, str]]]
    accepted: dict[str, list[Row]]
    scores: list[Score]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def read_rows(folder: Path, wave: Wave) -> list[Row]:
    table = read_csv(folder / "raw" / wave.id / wave.file)
    qualtrics = wave.format == "qualtrics"
    at = {name: i for i, name in enumerate(table[0])}
    prefixes = ("Q5_", "Q6_", "Q7_") if qualtrics else ("olbi_", "dreem_", "phq_")

    def block(cells: list[str], which: int) -> tuple[Floats, int]:
        n_items, low, high = ((16, 1, 4), (50, 0, 4), (9, 0, 3))[which]
        values, wrong = [], 0
        for n in range(1, n_items + 1):
            text = cells[at[f"{prefixes[which]}{n}"]]
            good = text.isdigit() and low <= int(text) <= high
            wrong += not good and text not in {"", "NA", "-99"}
            values.append(float(text) if good else np.nan)
        return np.array(values), wrong

    rows = []
    for cells in table[3 if qualtrics else 1 :]:
        (olbi, a), (dreem, b), (phq, c) = (block(cells, i) for i in range(3))
        rows.append(
            Row(
                key=cells[at["StudyCode" if qualtrics else "code"]],
                cells=tuple(cells),
                preview=qualtrics and cells[at["Status"]] == "1",
                finished=not qualtrics or cells[at["Finished"]] == "1",
                olbi=olbi,
                dreem=dreem,
                phq=phq,
                wrong_codes=a + b + c,
            )
        )
    return rows


def accepted(rows: list[Row], known: set[str]) -> list[Row]:
    """Rows that break no row rule; the first of exact repeats."""
    first = {r.cells: r for r in rows if not r.preview and r.answered}
    keys = Counter(r.key for r in first.values())
    return [r for r in first.values() if r.key in known and keys[r.key] == 1]


def unreversed(values: Floats, items: list[int], low_plus_high: int) -> Floats:
    turned = values.copy()
    for n in items:
        turned[n - 1] = low_plus_high - turned[n - 1]
    return turned


def score(row: Row, wave: str) -> dict[str, float]:
    agree_first = wave in AGREE_FIRST_WAVES
    turned = (
        OLBI_REVERSED_IF_1_IS_AGREE if agree_first else OLBI_REVERSED_IF_1_IS_DISAGREE
    )
    olbi = unreversed(row.olbi, turned, 5)
    dreem = unreversed(row.dreem, DREEM_REVERSED, 4)
    values = {}
    for name, items in (("exhaustion", EXHAUSTION), ("disengagement", DISENGAGEMENT)):
        part = olbi[np.array(items) - 1]
        if (~np.isnan(part)).sum() >= 6:
            values[name] = float(np.nanmean(part))
    if not np.isnan(dreem).any():
        values["environment"] = float(dreem.sum())
    if (~np.isnan(row.phq)).sum() >= 7:
        values["distress"] = float(np.nanmean(row.phq) * 9)
    return values


def spell_on(spells: list[dict[str, str]], day: str) -> dict[str, str]:
    (spell,) = [s for s in spells if s["from"] <= day <= (s["to"] or "9999")]
    return spell


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("study")
    truth = write_synthetic_study(folder)
    study = load_study(folder)
    roster = read_csv(folder / "raw/rosters/membership.csv")
    membership = defaultdict(list)
    for cells in roster[1:]:
        entry = dict(zip(roster[0], cells, strict=True))
        membership[entry["study_code"]].append(entry)
    rows = {w.id: read_rows(folder, w) for w in study.waves}
    kept = {w: accepted(r, set(membership)) for w, r in rows.items()}
    scores = []
    for wave in study.waves:
        for row in kept[wave.id]:
            spell = spell_on(membership[row.key], wave.opened.isoformat())
            scores.append(
                Score(
                    student=row.key,
                    wave=wave.id,
                    academic_year=wave.academic_year,
                    class_year=spell["class"],
                    community=spell["community"],
                    values=score(row, wave.id),
                )
            )
    return Written(folder, study, truth, rows, dict(membership), kept, scores)


def by_student(written: Written, outcome: str) -> Floats:
    """Scores around the true fixed effects, students x waves; nan where missing."""
    truth = written.truth.outcome(outcome)
    fixed = {e.level: e.effect for e in (*truth.academic_year, *truth.class_year)}
    waves = [w.id for w in written.study.waves]
    table: dict[str, Floats] = defaultdict(lambda: np.full(len(waves), np.nan))
    for s in written.scores:
        if outcome in s.values:
            expected = truth.intercept + fixed[s.academic_year] + fixed[s.class_year]
            table[s.student][waves.index(s.wave)] = s.values[outcome] - expected
    return np.array(list(table.values()))


def pair_products(table: Floats, lag: int) -> tuple[Floats, Floats]:
    before, after = table[:, :-lag].ravel(), table[:, lag:].ravel()
    both = ~np.isnan(before) & ~np.isnan(after)
    return before[both], after[both]


# ---- the folder ---------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_same_seed_writes_the_same_bytes_and_another_seed_does_not(
    tmp_path: Path,
) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_synthetic_study(tmp_path / name, seed=seed, n_entering=40)
    first, again, other = (contents(tmp_path / n) for n in "abc")
    assert first == again
    assert set(first) == set(other)
    changed = {name for name in first if first[name] != other[name]}
    assert changed == set(first) - {"study.yaml"}


def test_writing_again_leaves_files_and_truth_as_they_are(tmp_path: Path) -> None:
    truth = write_synthetic_study(tmp_path, n_entering=40)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert write_synthetic_study(tmp_path, n_entering=40) == truth
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_folder_with_another_study_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("lcwaves: 1\nid: theirs\n")
    with pytest.raises(DataError, match="expected an empty folder"):
        write_synthetic_study(tmp_path)
    assert list(contents(tmp_path)) == ["study.yaml"]


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError, match="expected a folder that can be written"):
        write_synthetic_study(tmp_path / "file" / "study")


def test_too_few_people_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 40"):
        write_synthetic_study(tmp_path, n_entering=39)
    assert not contents(tmp_path)


def test_plain_yaml_validates_as_the_study(written: Written) -> None:
    data = yaml.safe_load((written.folder / "study.yaml").read_text(encoding="utf-8"))
    assert Study.model_validate(data) == written.study
    assert written.study.synthetic
    assert len(written.study.communities) == 11
    assert sum(c.identity_named for c in written.study.communities) == 1
    assert [w.format for w in written.study.waves] == ["qualtrics", "tabular"] * 4


# ---- the people ---------------------------------------------------------------


def test_no_two_spells_of_a_person_overlap(written: Written) -> None:
    far = date(9999, 12, 31)
    for spells in written.membership.values():
        spans = sorted(
            (
                date.fromisoformat(s["from"]),
                date.fromisoformat(s["to"]) if s["to"] else far,
            )
            for s in spells
        )
        assert all(start <= end for start, end in spans)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))
    assert sum(map(len, written.membership.values())) == written.truth.spells
    assert len(written.membership) == written.truth.people


def test_people_move_pause_repeat_join_late_and_leave(written: Written) -> None:
    seen: Counter[str] = Counter()
    for spells in written.membership.values():
        ordered = sorted(spells, key=lambda s: s["from"])
        seen["moved community"] += len({s["community"] for s in ordered}) > 1
        seen["moved campus"] += len({s["campus"] for s in ordered}) > 1
        seen["joined late"] += ordered[0]["class"] != "M1"
        seen["left early"] += bool(ordered[-1]["to"]) and ordered[-1]["class"] != "M4"
        for a, b in itertools.pairwise(ordered):
            gap = date.fromisoformat(b["from"]) - date.fromisoformat(a["to"])
            seen["paused"] += gap > timedelta(days=1)
        seen["repeated"] += any(
            s["to"]
            and date.fromisoformat(s["to"]) - date.fromisoformat(s["from"])
            > timedelta(days=400)
            for s in ordered
        )
    assert all(count >= 5 for count in seen.values()), seen
    assert seen["moved campus"] > 200


def test_the_first_two_class_years_are_all_at_the_main_campus(
    written: Written,
) -> None:
    campuses: dict[str, set[str]] = defaultdict(set)
    for spells in written.membership.values():
        for spell in spells:
            campuses[spell["class"]].add(spell["campus"])
    assert campuses["M1"] == campuses["M2"] == {"main"}
    assert campuses["M3"] == campuses["M4"] == {"main", "riverside", "lakeside"}


def test_communities_have_60_to_80_members_as_their_roster_says(
    written: Written,
) -> None:
    table = read_csv(written.folder / "raw/rosters/community_years.csv")
    entries = [dict(zip(table[0], cells, strict=True)) for cells in table[1:]]
    assert len(entries) == 11 * 4
    for entry in entries:
        day = f"{entry['academic_year'][:4]}-09-01"
        members = sum(
            s["community"] == entry["community"]
            and s["from"] <= day <= (s["to"] or "9999")
            for spells in written.membership.values()
            for s in spells
        )
        assert members == int(entry["members"])
        assert 60 <= members <= 80
        assert entry["student_reps"] == "8"


# ---- the files ----------------------------------------------------------------


def test_qualtrics_files_have_three_header_rows(written: Written) -> None:
    wave = written.study.waves[0]
    path = written.folder / "raw" / wave.id / wave.file
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    names, texts, imports = read_csv(path)[:3]
    # The first 17 columns of a real export with three header rows.
    assert names[:17] == [
        "StartDate", "EndDate", "Status", "IPAddress", "Progress",
        "Duration (in seconds)", "Finished", "RecordedDate", "ResponseId",
        "RecipientLastName", "RecipientFirstName", "RecipientEmail",
        "ExternalReference", "LocationLatitude", "LocationLongitude",
        "DistributionChannel", "UserLanguage",
    ]  # fmt: skip
    assert len(names) == len(texts) == len(imports) == 17 + 16 + 50 + 9 + 2
    assert len(set(names)) == len(names)
    ids = [json.loads(cell) for cell in imports]
    assert ids[0] == {"ImportId": "startDate"}
    assert ids[8] == {"ImportId": "_recordId"}
    assert ids[names.index("Q5_3")] == {"ImportId": "QID5_3"}
    assert texts[names.index("Q5_3")].endswith("OLBI item 3")


def test_identifying_columns_are_filled_with_invented_values(written: Written) -> None:
    wave = written.study.waves[0]
    names, _, _, *rows = read_csv(written.folder / "raw" / wave.id / wave.file)
    for column in written.truth.identifying_columns:
        assert all(row[names.index(column)] for row in rows), column
    assert all(r[names.index("IPAddress")].startswith("192.0.2.") for r in rows)
    assert all(r[names.index("RecipientEmail")].endswith("@example.org") for r in rows)


def test_every_wave_holds_the_planted_faults_and_no_others(written: Written) -> None:
    known = set(written.membership)
    for wave in written.study.waves:
        rows = written.rows[wave.id]
        real = [r for r in rows if not r.preview and r.answered]
        contents_by_key: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for r in real:
            if r.key:
                contents_by_key[r.key].add(r.cells)
        distinct = {r.cells for r in real}
        found = {
            "preview_response": sum(r.preview for r in rows),
            "unfinished_response": sum(not r.finished and not r.answered for r in rows),
            "missing_key": sum(not r.key for r in real),
            "unknown_person": sum(bool(r.key) and r.key not in known for r in real),
            "exact_repeat": len(real) - len(distinct),
            "duplicate_person": sum(
                len(c) for c in contents_by_key.values() if len(c) > 1
            ),
            "unknown_code": sum(r.wrong_codes for r in written.accepted[wave.id]),
        }
        expected = {r: written.truth.fault_count(wave.id, r) for r in found}
        assert found == expected, wave.id
        assert sum(expected.values()) > 0
        assert sum(r.wrong_codes for r in rows) == expected["unknown_code"]


def test_wave_counts_are_as_the_truth_says(written: Written) -> None:
    for wave in written.truth.waves:
        rows, kept = written.rows[wave.wave], written.accepted[wave.wave]
        assert len(rows) == wave.rows_in_file
        assert len(kept) == wave.rows_accepted
        assert sum(not r.finished for r in kept) == wave.unfinished_kept
        lost = written.truth.fault_count(wave.wave, "duplicate_person") // 2
        assert len(kept) == wave.answered - lost


def test_reversed_items_are_answered_in_reverse_under_the_coding_in_force(
    written: Written,
) -> None:
    for wave in written.study.waves:
        olbi = np.array([r.olbi for r in written.accepted[wave.id]])
        olbi = olbi[~np.isnan(olbi).any(axis=1)]
        agree_first = wave.id in AGREE_FIRST_WAVES
        turned = (
            OLBI_REVERSED_IF_1_IS_AGREE
            if agree_first
            else OLBI_REVERSED_IF_1_IS_DISAGREE
        )
        sign = np.array([-1 if n in turned else 1 for n in range(1, 17)])
        r = np.corrcoef(olbi.T)
        for items in (EXHAUSTION, DISENGAGEMENT):
            at = np.array(items) - 1
            across = np.outer(sign[at], sign[at]) < 0
            block = r[np.ix_(at, at)]
            assert block[across].max() < 0
            inside = ~across & ~np.eye(len(at), dtype=bool)
            assert block[inside].min() > 0
    codings = [w.instruments["olbi"].coding for w in written.study.waves]
    assert [w.id for w, c in zip(written.study.waves, codings, strict=True) if c] == (
        sorted(AGREE_FIRST_WAVES)
    )


# ---- the calibration ----------------------------------------------------------


def test_response_rates_are_60_to_80_per_cent_and_lower_in_clinical_years(
    written: Written,
) -> None:
    for wave in written.truth.waves:
        rate = wave.answered / wave.eligible
        assert 0.60 <= rate <= 0.80
        assert 0.60 <= wave.expected_rate <= 0.80
        # Binomial: four standard errors at about 740 people are 0.07.
        assert rate == pytest.approx(wave.expected_rate, abs=0.07)
        assert wave.expected_rate_clinical < wave.expected_rate_preclinical - 0.08


def test_people_with_a_worse_last_score_answer_less(written: Written) -> None:
    table = by_student(written, "exhaustion")
    now, after = table[:, :-1], table[:, 1:]
    seen = ~np.isnan(now)
    again = (~np.isnan(after))[seen]
    worse = now[seen] > np.median(now[seen])
    assert again[~worse].mean() - again[worse].mean() > 0.03
    assert written.truth.dropout_log_odds_per_sd < 0


@pytest.mark.parametrize(
    ("outcome", "mean", "sd"),
    [
        ("exhaustion", 1 + 11.5 / 8, 3.6 / 8),  # AAMC GQ, 0-24 sum as 1-4 mean
        ("disengagement", 1 + 9.4 / 8, 3.6 / 8),
        ("environment", 127, 20),
        ("distress", 7.3, 4.3),
    ],
)
def test_scores_have_the_calibrated_mean_and_sd(
    written: Written, outcome: str, mean: float, sd: float
) -> None:
    values = [s.values[outcome] for s in written.scores if outcome in s.values]
    assert np.mean(values) == pytest.approx(mean, abs=0.12 * sd)
    assert np.std(values) == pytest.approx(sd, rel=0.08)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_variances_and_wave_correlations_are_the_true_ones(
    written: Written, outcome: str
) -> None:
    truth = written.truth.outcome(outcome)
    table = by_student(written, outcome)
    total = float(np.nanvar(table))
    assert total == pytest.approx(truth.total_variance, rel=0.08)
    for lag, reported in ((1, (0.63, 0.68)), (2, (0.54, 0.63))):
        r = float(np.corrcoef(*pair_products(table, lag))[0, 1])
        # Over 16 seeds the SD of r is 0.01 to 0.03.
        assert r == pytest.approx(truth.wave_correlation(lag), abs=0.06)
        assert reported[0] - 0.02 <= truth.wave_correlation(lag) <= reported[1] + 0.02
    assert 0.50 <= truth.student_icc <= 0.75
    between = np.nanmean(table, axis=1)
    counts = (~np.isnan(table)).sum(axis=1)
    within = float(
        np.nansum((table - between[:, None]) ** 2) / (counts - 1)[counts > 1].sum()
    )
    assert within == pytest.approx(truth.residual_variance, rel=0.15)
    shared = truth.student_variance + truth.community_variance
    assert total - within == pytest.approx(shared, rel=0.15)


@pytest.mark.parametrize(
    ("outcome", "icc"),
    [
        ("exhaustion", 0.03),
        ("disengagement", 0.02),
        ("environment", 0.05),
        ("distress", 0.005),
    ],
)
def test_communities_differ_as_much_as_they_should(
    written: Written, outcome: str, icc: float
) -> None:
    truth = written.truth.outcome(outcome)
    effects = [e.effect for e in truth.communities]
    assert truth.community_icc == pytest.approx(icc, abs=0.002)
    assert sum(effects) == pytest.approx(0, abs=1e-9)
    assert np.var(effects, ddof=1) == pytest.approx(truth.community_variance)
    observed = {
        e.level: np.mean(
            [
                s.values[outcome]
                for s in written.scores
                if s.community == e.level and outcome in s.values
            ]
        )
        for e in truth.communities
    }
    if icc >= 0.02:  # below that, chance among students hides the communities
        r = np.corrcoef(effects, [observed[e.level] for e in truth.communities])[0, 1]
        assert r > 0.75


def test_exhaustion_moves_over_academic_years_and_environment_does_not(
    written: Written,
) -> None:
    for outcome in ("exhaustion", "environment"):
        truth = written.truth.outcome(outcome)
        fixed = {e.level: e.effect for e in truth.class_year}
        means = {
            year: np.mean(
                [
                    s.values[outcome] - fixed[s.class_year]
                    for s in written.scores
                    if s.academic_year == year and outcome in s.values
                ]
            )
            for year in ("2021-22", "2024-25")
        }
        effect = truth.academic_year[-1].effect
        sd = truth.total_variance**0.5
        # Two means of some 560 people: standard error about 0.055 SD.
        assert means["2024-25"] - means["2021-22"] == pytest.approx(
            effect, abs=0.15 * sd
        )
    assert written.truth.outcome("exhaustion").academic_year[-1].effect < 0
    assert {e.effect for e in written.truth.outcome("environment").academic_year} == {
        0.0
    }


def alpha(items: Floats) -> float:
    k = items.shape[1]
    ratio = items.var(axis=0, ddof=1).sum() / items.sum(axis=1).var(ddof=1)
    return float(k / (k - 1) * (1 - ratio))


def test_scales_are_internally_consistent(written: Written) -> None:
    for wave in written.study.waves:
        rows = written.accepted[wave.id]
        agree_first = wave.id in AGREE_FIRST_WAVES
        turned = (
            OLBI_REVERSED_IF_1_IS_AGREE
            if agree_first
            else OLBI_REVERSED_IF_1_IS_DISAGREE
        )
        olbi = np.array([unreversed(r.olbi, turned, 5) for r in rows])
        dreem = np.array([unreversed(r.dreem, DREEM_REVERSED, 4) for r in rows])
        phq = np.array([r.phq for r in rows])
        for block in (
            olbi[:, np.array(EXHAUSTION) - 1],
            olbi[:, np.array(DISENGAGEMENT) - 1],
            dreem,
            phq,
        ):
            whole = block[~np.isnan(block).any(axis=1)]
            assert 0.75 <= alpha(whole) <= 0.92


def test_missing_items_cost_few_scores_and_the_rules_matter(written: Written) -> None:
    n = len(written.scores)
    lost = {o: sum(o not in s.values for s in written.scores) / n for o in OUTCOMES}
    assert 0.01 < lost["environment"] < 0.05
    assert 0 < lost["exhaustion"] < 0.02
    prorated = [
        r
        for rows in written.accepted.values()
        for r in rows
        if 0 < np.isnan(r.olbi[np.array(EXHAUSTION) - 1]).sum() <= 2
    ]
    assert len(prorated) >= 20
