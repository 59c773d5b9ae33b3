"""Two real studies through the whole door, against values computed independently.

The expected numbers come from pandas on the raw file, in this module alone; the
study folders hold study.yaml, the data stay in ../shared.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray

from pipelines import open_study
from pipelines.runs import StudyRun
from pipelines.store import StudyReader

STUDIES = Path(__file__).resolve().parents[1] / "studies"


@dataclass(frozen=True)
class Ran:
    """A study that was run whole."""

    folder: Path
    page: str
    reader: StudyReader


def run_whole(folder: Path, name: str, year: str) -> Iterator[Ran]:
    shutil.copy(STUDIES / name / "study.yaml", folder / "study.yaml")
    run = StudyRun(folder, figures="none")
    try:
        draft = run.year(year).draft
    finally:
        run.close()
    with open_study(folder, year=year) as reader:
        yield Ran(folder, (draft / "index.html").read_text("utf-8"), reader)


# --- Tennessee STAR ---------------------------------------------------------------


@pytest.fixture(scope="module")
def star_raw(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data/star/star.csv", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def star(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("star")
    for year in ("1985-86", "1986-87", "1987-88", "1988-89"):
        place = folder / "raw" / f"{year}_spring"
        place.mkdir(parents=True)
        (place / "star.csv").symlink_to(shared / "data/star/star.csv")
    yield from run_whole(folder, "star", "1988-89")


GRADE = {"1985-86_spring": "K", "1986-87_spring": "1", "1987-88_spring": "2",
         "1988-89_spring": "3"}  # fmt: skip


def test_star_people_schools_and_rows(star: Ran, star_raw: pd.DataFrame) -> None:
    responses = star.reader.table("response")
    assert responses.height == len(star_raw) == 26796
    assert responses["participant"].n_unique() == star_raw["id"].nunique() == 11598
    assert responses["community"].n_unique() == 80
    per_wave = dict(responses.group_by("wave").len().iter_rows())
    per_grade = star_raw["gr"].value_counts()
    assert per_wave == {w: per_grade[g] for w, g in GRADE.items()}
    assert star.reader.table("quarantine").is_empty()


@pytest.mark.parametrize(
    ("scale", "column"), [("reading", "read"), ("mathematics", "math")]
)
def test_star_score_means(
    star: Ran, star_raw: pd.DataFrame, scale: str, column: str
) -> None:  # fmt: skip
    expected = pd.to_numeric(star_raw[column], errors="coerce").groupby(star_raw["gr"])
    got = (
        star.reader.table("score")
        .filter(pl.col("scale") == f"{scale}.score")
        .group_by("wave")
        .agg(n=pl.col("value").count(), mean=pl.col("value").mean())
    )
    for wave, n, mean in got.iter_rows():
        assert n == expected.count()[GRADE[wave]]
        assert mean == pytest.approx(expected.mean()[GRADE[wave]], rel=1e-12)


def test_star_class_type_varies_by_pupil_and_wave(
    star: Ran, star_raw: pd.DataFrame
) -> None:
    got = star.reader.sql(
        "SELECT wave, text_value, count(*) FROM covariate "
        "WHERE covariate = 'class_type' GROUP BY ALL"
    )
    expected = star_raw.groupby(["gr", "cltype"]).size()
    for wave, level, n in got.iter_rows():
        assert n == expected[(GRADE[wave], level)]


def dense_reml(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    groups: list[NDArray[np.int64]],
    theta: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Coefficients, standard errors and criterion by brute force on V."""
    v = np.eye(len(y))
    for codes, ratio in zip(groups, theta, strict=True):
        v += ratio * (codes[:, None] == codes[None, :])
    factor = np.linalg.cholesky(v)
    wx, wy = np.linalg.solve(factor, x), np.linalg.solve(factor, y)
    xx = wx.T @ wx
    beta = np.linalg.solve(xx, wx.T @ wy)
    df = len(y) - x.shape[1]
    rss = float(np.sum((wy - wx @ beta) ** 2))
    sigma2 = rss / df
    criterion = (
        2 * np.log(np.diag(factor)).sum()
        + np.linalg.slogdet(xx)[1]
        + df * (1 + np.log(2 * np.pi * sigma2))
    )
    return beta, np.sqrt(sigma2 * np.diag(np.linalg.inv(xx))), float(criterion)


def test_star_model_is_the_optimum_of_an_independent_dense_likelihood(
    star: Ran, star_raw: pd.DataFrame
) -> None:
    """The declared subset of schools, its likelihood written out densely here."""
    schools = [str(n) for n in range(1, 13)]
    d = star_raw[star_raw["sch"].isin(schools)].copy()
    d["y"] = pd.to_numeric(d["read"], errors="coerce")
    d = d[d["y"].notna() & d["sx"].isin(["M", "F"])]
    grade = pd.Categorical(d["gr"], ["K", "1", "2", "3"])
    kind = pd.Categorical(d["cltype"], ["small", "reg", "reg+A"])
    g = pd.get_dummies(grade, drop_first=True).to_numpy(np.float64)
    k = pd.get_dummies(kind, drop_first=True).to_numpy(np.float64)
    sex = (d["sx"] == "F").to_numpy(np.float64)[:, None]
    gk = np.hstack([g[:, [i]] * k[:, [j]] for j in range(2) for i in range(3)])
    x = np.hstack([np.ones((len(d), 1)), g, k, sex, gk])
    pupil = pd.factorize(d["id"])[0]
    school = pd.factorize(d["sch"])[0]
    y = d["y"].to_numpy(np.float64)

    fit = star.reader.sql("FROM fit WHERE outcome = 'read'").row(0, named=True)
    assert fit["n_answers"] == len(d)
    assert fit["n_people"] == d["id"].nunique()
    variance = dict(
        star.reader.sql(
            "SELECT \"group\", variance FROM variance_component WHERE outcome = 'read'"
        ).iter_rows()
    )
    theta = np.array([variance["student"], variance["community"]])
    theta /= variance["residual"]
    beta, se, criterion = dense_reml(y, x, [pupil, school], theta)
    rows = star.reader.sql(
        "SELECT level, estimate, std_error FROM estimate "
        "WHERE quantity = 'coefficient' AND outcome = 'read'"
    )
    got = {level: (b, s) for level, b, s in rows.iter_rows()}
    for name, i in (("class_year[1]", 1), ("class_type[reg]", 4), ("sex[F]", 6)):
        assert got[name][0] == pytest.approx(beta[i], rel=1e-7)
        # Kenward-Roger's standard error allows for estimated variances.
        assert se[i] * (1 - 1e-9) < got[name][1] < se[i] * 1.02
    # No neighbouring variance ratio is better.
    for step in (0.97, 1.03):
        for i in range(2):
            moved = theta.copy()
            moved[i] *= step
            assert dense_reml(y, x, [pupil, school], moved)[2] > criterion - 1e-7


def test_star_stores_no_pupil_number(star: Ran, star_raw: pd.DataFrame) -> None:
    """Schools are numbered too, up to 80; only longer numbers can be a pupil's."""
    pupils = {i for i in star_raw["id"].unique() if len(i) > 3}
    stored: set[str] = set()
    for path in (star.folder / "store").rglob("*.parquet"):
        frame = pl.read_parquet(path)
        for column in frame.select(pl.col(pl.String)):
            if column.name not in {"item.reading.1", "item.mathematics.1"}:
                stored |= set(column.unique().drop_nulls().to_list())
    assert stored
    assert not stored & pupils


def test_star_report_shows_both_outcomes(star: Ran) -> None:
    assert "Reading" in star.page
    assert "Mathematics" in star.page


# --- Medical students in Mexico ---------------------------------------------------


@pytest.fixture(scope="module")
def mex_raw(shared: Path) -> pd.DataFrame:
    path = shared / "data/mex_medstudents/raw_data.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def mex(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("mex")
    place = folder / "raw" / "survey"
    place.mkdir(parents=True)
    (place / "raw_data.csv").symlink_to(shared / "data/mex_medstudents/raw_data.csv")
    yield from run_whole(folder, "mex_medstudents", "2018-19")


def mex_scores(raw: pd.DataFrame, items: list[str], least: int) -> pd.Series[float]:
    """Person mean times the number of items, where enough were answered."""
    answers = raw[items].apply(pd.to_numeric, errors="coerce")
    answers = answers.where(answers.isin([0, 1, 2, 3]))
    score: pd.Series[float] = answers.mean(axis=1) * len(items)
    return score.where(answers.notna().sum(axis=1) >= least)


PHQ = [f"phq{n}" for n in range(1, 10)]
GAD = [f"gad{n}" for n in range(1, 8)]


def test_mex_quarantine_holds_the_artefact_row_and_the_odd_answer(
    mex: Ran, mex_raw: pd.DataFrame
) -> None:
    aside = mex.reader.table("quarantine").sort("row_number")
    artefact = mex_raw.index[~mex_raw["year"].isin(list("1234"))]
    odd = mex_raw.index[mex_raw["gad5"] == "10"]
    assert aside.select("row_number", "column_name", "rule", "extent").rows() == [
        (odd[0] + 2, "gad5", "unknown_code", "answer"),
        (artefact[0] + 2, None, "unknown_class_year", "row"),
    ]


def test_mex_exact_repeats_are_counted_and_kept(
    mex: Ran, mex_raw: pd.DataFrame
) -> None:
    wave = mex.reader.table("wave").row(0, named=True)
    assert wave["exact_repeats"] == mex_raw.duplicated().sum() == 11
    assert wave["rows_read"] == 783
    assert mex.reader.table("response").height == 782


@pytest.mark.parametrize(
    ("scale", "items", "least"), [("phq9.total", PHQ, 7), ("gad7.total", GAD, 7)]
)
def test_mex_scores(
    mex: Ran, mex_raw: pd.DataFrame, scale: str, items: list[str], least: int
) -> None:
    good = mex_raw[mex_raw["year"].isin(list("1234"))]
    expected = mex_scores(good, items, least)
    got = mex.reader.table("score").filter(pl.col("scale") == scale)["value"]
    assert got.count() == expected.count()
    assert got.mean() == pytest.approx(expected.mean(), rel=1e-12)
    assert got.std() == pytest.approx(expected.std(), rel=1e-12)


def test_mex_model_is_least_squares(mex: Ran, mex_raw: pd.DataFrame) -> None:
    good = mex_raw[mex_raw["year"].isin(list("1234"))]
    y = mex_scores(good, PHQ, 7)
    x: NDArray[np.float64] = np.column_stack(
        [np.ones(len(good))]
        + [(good["year"] == v).to_numpy(np.float64) for v in "234"]
        + [(good["sex"] == "f").to_numpy(np.float64)]
    )
    kept = y.notna().to_numpy()
    design: NDArray[np.float64] = x[kept]
    observed: NDArray[np.float64] = np.array(y.dropna(), dtype=np.float64)
    beta, rss, _, _ = np.linalg.lstsq(design, observed, rcond=None)
    df = int(kept.sum()) - design.shape[1]
    se = np.sqrt(rss[0] / df * np.diag(np.linalg.inv(design.T @ design)))
    rows = mex.reader.sql(
        "SELECT level, estimate, std_error, df FROM estimate "
        "WHERE quantity = 'coefficient' AND outcome = 'depression'"
    )
    got = {level: (b, s, d) for level, b, s, d in rows.iter_rows()}
    for name, i in (("class_year[2]", 1), ("class_year[4]", 3), ("sex[f]", 4)):
        assert got[name] == pytest.approx((beta[i], se[i], df), rel=1e-9)


def test_mex_page_says_why_there_is_no_mixed_model(mex: Ran) -> None:
    assert "no person key" in mex.page.lower()
