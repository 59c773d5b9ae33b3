"""Models against planted truth, hand counts, dense likelihoods and lme4.

The dense computation below writes the covariance matrix out in full and shares no
code with the one under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t as student_t

from analyses.contrasts import contrast_rows
from analyses.crosscheck import crosscheck
from analyses.formula import parse_formula
from analyses.frames import ModelFrame
from analyses.mixed_effects import fit_mixed
from analyses.models import OutcomeFit, fit_outcome
from data_contracts.errors import ModelError

Array = NDArray[np.float64]

YEARS = ("2022-23", "2023-24", "2024-25", "2025-26")
CLASSES = ("M1", "M2", "M3", "M4")
FORMULA = "academic_year + class_year + (1 | student) + (1 | community)"
YEAR_EFFECT = (0.0, -0.1, -0.2, -0.3)
CLASS_EFFECT = (0.0, 0.2, 0.3, 0.1)
STAR = Path(__file__).parents[2].parent / "shared" / "data" / "star"


def simulate(
    *,
    n_entering: int = 66,
    n_communities: int = 11,
    community_sd: float = 0.3,
    student_sd: float = 0.5,
    residual_sd: float = 0.3,
    seed: int = 1,
) -> ModelFrame:
    """Seven cohorts pass through four class years; 70% answer twice a year."""
    random = np.random.default_rng(seed)
    shift = random.normal(0.0, community_sd, n_communities)
    rows = []
    for cohort in range(-3, 4):
        for k in range(n_entering):
            own = random.normal(0.0, student_sd) + shift[k % n_communities]
            for year in range(max(cohort, 0), min(cohort + 4, 4)):
                for term in ("fall", "spring"):
                    if random.random() < 0.3:
                        continue
                    mean = 2.3 + YEAR_EFFECT[year] + CLASS_EFFECT[year - cohort] + own
                    rows.append(
                        {
                            "student": f"s{cohort:+d}.{k:03d}",
                            "community": f"c{k % n_communities:02d}",
                            "cohort": f"{2022 + cohort}-{23 + cohort}",
                            "class_year": CLASSES[year - cohort],
                            "academic_year": YEARS[year],
                            "wave": f"{YEARS[year]}_{term}",
                            "time": float(year - cohort),
                            "age": 22.0 + year - cohort + k % 3,
                            "y": mean + random.normal(0.0, residual_sd),
                        }
                    )
    return framed(pl.DataFrame(rows))


def framed(rows: pl.DataFrame, *, is_linked: bool = True) -> ModelFrame:
    levels: dict[str, tuple[str, ...]] = {
        c: tuple(sorted(rows[c].drop_nulls().unique().to_list()))
        for c in ("community", "cohort", "class_year", "academic_year", "wave", "sex")
        if c in rows.columns
    }
    return ModelFrame(YEARS[-1], rows, levels, ("y",), is_linked)


def changed(frame: ModelFrame, *expressions: pl.Expr) -> ModelFrame:
    return framed(frame.rows.with_columns(*expressions), is_linked=frame.is_linked)


def fit(frame: ModelFrame, formula: str = FORMULA) -> OutcomeFit:
    return fit_outcome(parse_formula(formula), frame, outcome="y")


def variances(fitted: OutcomeFit) -> dict[str, float]:
    rows = fitted.variance_components()
    return dict(zip(rows["group"], rows["variance"], strict=True))


def dense_reml(
    y: Array, x: Array, groups: list[NDArray[np.int64]], variance: Array
) -> tuple[float, Array, Array]:
    """Minus twice the REML log-likelihood, coefficients and covariance; n by n."""
    v = variance[-1] * np.eye(len(y))
    for codes, part in zip(groups, variance, strict=False):
        v += part * (codes[:, None] == codes[None, :])
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    covariance = np.asarray(np.linalg.inv(information), dtype=np.float64)
    beta = covariance @ (x.T @ inverse @ y)
    left = y - x @ beta
    criterion = (
        (len(y) - x.shape[1]) * np.log(2.0 * np.pi)
        + np.linalg.slogdet(v)[1]
        + np.linalg.slogdet(information)[1]
        + left @ inverse @ left
    )
    return float(criterion), beta, covariance


@pytest.fixture(scope="module")
def frame() -> ModelFrame:
    return simulate()


@pytest.fixture(scope="module")
def fitted(frame: ModelFrame) -> OutcomeFit:
    return fit(frame)


def test_planted_truth_is_recovered(fitted: OutcomeFit) -> None:
    for factor, effects in (
        ("academic_year", YEAR_EFFECT),
        ("class_year", CLASS_EFFECT),
    ):
        truth = [b - a for i, a in enumerate(effects) for b in effects[i + 1 :]]
        for difference, true in zip(fitted.differences(factor), truth, strict=True):
            assert abs(difference.estimate - true) < 4.0 * difference.std_error
    found = variances(fitted)
    assert found["student"] == pytest.approx(0.25, rel=0.15)
    assert found["residual"] == pytest.approx(0.09, rel=0.1)
    # 11 communities: a chi-square with 10 df is within (0.2, 2.6) times its mean.
    assert 0.2 * 0.09 < found["community"] < 2.6 * 0.09
    shares = fitted.variance_components()["share"]
    assert shares.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        (FORMULA, ("student", "community")),
        ("academic_year + class_year + (1 | student)", ("student",)),
    ],
)
def test_mixed_model_maximises_the_dense_restricted_likelihood(
    formula: str, names: tuple[str, ...]
) -> None:
    frame = simulate(n_entering=8, n_communities=4, community_sd=0.8)
    fitted = fit(frame, formula)
    rows = fitted.design.rows
    groups = [np.unique(rows[c].to_numpy(), return_inverse=True)[1] for c in names]
    y, x = fitted.design.y, fitted.design.x

    def dense(variance: Array) -> tuple[float, Array, Array]:
        return dense_reml(y, x, groups, variance)

    ours = fitted.variance_components()["variance"].to_numpy()
    criterion, beta, covariance = dense(ours)
    best = minimize(
        lambda log_variance: dense(np.exp(log_variance))[0],
        np.log(ours),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10},
    )

    assert -2.0 * fitted.arrays.log_likelihood == pytest.approx(criterion, abs=1e-7)
    assert criterion <= best.fun + 1e-7
    np.testing.assert_allclose(ours, np.exp(best.x), rtol=1e-4)
    np.testing.assert_allclose(fitted.arrays.beta, beta, rtol=1e-8, atol=1e-10)
    # Kenward-Roger's covariance is never below the one that takes variances as known.
    adjusted = np.diag(fitted.arrays.covariance)
    assert (adjusted >= np.diag(covariance) * (1.0 - 1e-9)).all()
    np.testing.assert_allclose(adjusted, np.diag(covariance), rtol=0.1)


def test_communities_alone_where_nobody_answered_twice(frame: ModelFrame) -> None:
    once = framed(frame.rows.unique("student", keep="first", maintain_order=True))
    fitted = fit(once)

    assert fitted.variance_components()["group"].to_list() == ["community", "residual"]
    assert "Nobody has this outcome twice" in fitted.notes[0]
    assert "student)" not in fitted.record()["formula"][0]


def test_balanced_repeated_answers_give_plain_means() -> None:
    # Everybody answers in every year, so that weighting changes nothing.
    random = np.random.default_rng(3)
    rows = pl.DataFrame(
        [
            {
                "student": f"s{s:02d}",
                "community": f"c{s % 5}",
                "academic_year": year,
                "wave": year,
                "y": random.normal() + s % 7 + i,
            }
            for s in range(30)
            for i, year in enumerate(YEARS)
        ]
    )
    formula = "academic_year + (1 | student) + (1 | community)"
    means = fit(framed(rows), formula).marginal_means()
    plain = rows.group_by("academic_year").agg(pl.col("y").mean()).sort("academic_year")

    np.testing.assert_allclose(means["estimate"], plain["y"], rtol=1e-9)
    assert means["n_people"].to_list() == [30] * 4
    assert means["n_answers"].to_list() == [30] * 4
    assert means["n_communities"].to_list() == [5] * 4


def test_means_are_standardised_over_equal_weights() -> None:
    # 2 x 2 by hand: cell means 1, 3 (A, B in M1) and 5, 9 (M2), unequal sizes.
    cells = {
        ("2022-23", "M1"): [1.0, 1.0, 0.5, 1.5],
        ("2023-24", "M1"): [2.0, 4.0],
        ("2022-23", "M2"): [4.0, 6.0],
        ("2023-24", "M2"): [8.0, 10.0, 9.0],
    }
    rows = pl.DataFrame(
        [
            {"academic_year": a, "class_year": c, "wave": a, "y": y, "community": None}
            for (a, c), ys in cells.items()
            for y in ys
        ],
        schema_overrides={"community": pl.String},
    ).with_row_index("student")
    frame = framed(rows, is_linked=False)
    fitted = fit(frame, "class_year * academic_year")
    means = fitted.marginal_means()
    found = dict(
        zip(means["by"] + " " + means["level"], means["estimate"], strict=True)
    )

    assert found == pytest.approx(
        {
            "class_year M1": 2.0,
            "class_year M2": 7.0,
            "academic_year 2022-23": 3.0,
            "academic_year 2023-24": 6.0,
            "academic_year:class_year 2022-23 : M1": 1.0,
            "academic_year:class_year 2023-24 : M1": 3.0,
            "academic_year:class_year 2022-23 : M2": 5.0,
            "academic_year:class_year 2023-24 : M2": 9.0,
        }
    )
    # Within-cell squares 0.5 + 2 + 2 + 2 over 11 - 4 df.
    record = fitted.record()
    assert record["df"][0] == 7.0
    assert variances(fitted)["residual"] == pytest.approx(6.5 / 7.0)
    (year,) = fitted.differences("academic_year")
    assert (year.level, year.reference) == ("2023-24", "2022-23")
    assert year.estimate == pytest.approx(3.0)
    assert year.std_error == pytest.approx(
        0.5 * np.sqrt(6.5 / 7.0 * (1 / 4 + 1 / 2 + 1 / 2 + 1 / 3))
    )
    assert (year.n_people, year.n_people_reference) == (5, 6)
    assert record["engine"][0].endswith("OLS")
    assert "no person key" in record["note"][0]
    assert "equal weights" in record["note"][0]


def test_coefficients_are_treatment_contrasts_with_their_people() -> None:
    rows = pl.DataFrame(
        {
            "student": ["a", "b", "c", "d", "e"],
            "community": [None] * 5,
            "wave": ["w"] * 5,
            "academic_year": ["2022-23"] * 5,
            "class_year": ["M1", "M1", "M2", "M2", "M2"],
            "age": [20.0, 22.0, 0.0, 23.0, 25.0],
            "y": [1.0, 2.0, 4.0, 6.0, 5.5],
        },
        schema_overrides={"community": pl.String},
    )
    found = fit(framed(rows, is_linked=False), "class_year * age").coefficients()

    assert dict(zip(found["level"], found["n_people"], strict=True)) == {
        "(Intercept)": 5,
        "class_year[M2]": 3,
        "age": 5,
        "class_year[M2]:age": 3,
    }
    # In M1 the line goes through (20, 1) and (22, 2).
    slopes = dict(zip(found["level"], found["estimate"], strict=True))
    assert slopes["age"] == pytest.approx(0.5)
    assert slopes["(Intercept)"] == pytest.approx(1.0 - 20.0 * 0.5)


@pytest.mark.parametrize("formula", [FORMULA, "academic_year + class_year"])
def test_answers_shift_and_scale_with_the_outcome(
    frame: ModelFrame, formula: str
) -> None:
    before = fit(frame, formula)
    after = fit(changed(frame, pl.col("y") * 40.0 + 1e7), formula)

    for old, new in zip(
        before.differences("academic_year"),
        after.differences("academic_year"),
        strict=True,
    ):
        assert new.estimate == pytest.approx(40.0 * old.estimate, rel=1e-5)
        assert new.std_error == pytest.approx(40.0 * old.std_error, rel=1e-5)
    np.testing.assert_allclose(
        after.marginal_means()["estimate"],
        1e7 + 40.0 * before.marginal_means()["estimate"].to_numpy(),
        rtol=1e-12,
    )
    for group, variance in variances(before).items():
        assert variances(after)[group] == pytest.approx(1600.0 * variance, rel=1e-3)


def test_row_order_and_group_labels_do_not_matter(
    frame: ModelFrame, fitted: OutcomeFit
) -> None:
    rows = frame.rows.sample(fraction=1.0, shuffle=True, seed=5).with_columns(
        ("x" + pl.col("student").str.reverse()).alias("student"),
        pl.col("community").replace_strict(
            {f"c{i:02d}": f"house {97 - 7 * i}" for i in range(11)}
        ),
    )
    other = fit(framed(rows))

    np.testing.assert_allclose(
        other.marginal_means()["estimate"],
        fitted.marginal_means()["estimate"],
        rtol=1e-6,
    )
    for group, variance in variances(fitted).items():
        assert variances(other)[group] == pytest.approx(variance, rel=1e-3)


def test_a_community_variance_of_zero_is_a_flag_and_a_sentence() -> None:
    # Every community has the same answers: nothing can lie between them.
    one = simulate(n_entering=6, n_communities=1, community_sd=0.0).rows
    rows = pl.concat(
        one.with_columns(
            pl.lit(f"c{i}").alias("community"),
            (f"{i}" + pl.col("student")).alias("student"),
        )
        for i in range(4)
    )
    fitted = fit(framed(rows))

    assert variances(fitted)["community"] == 0.0
    assert variances(fitted)["student"] > 0.0
    record = fitted.record()
    assert record["is_singular"][0]
    assert record["converged"][0]
    assert "variance of community is estimated as 0" in record["note"][0]


def test_who_changes_community_stays_one_person(frame: ModelFrame) -> None:
    moved = pl.when(
        pl.col("student").is_in(["s+0.000", "s+0.001"])
        & (pl.col("academic_year") > YEARS[1])
    )
    fitted = fit(
        changed(
            frame, moved.then(pl.lit("c10")).otherwise("community").alias("community")
        )
    )
    students = frame.rows["student"].n_unique()

    assert fitted.variance_components()["n_levels"][0] == students
    assert fitted.record()["n_people"][0] == students


def test_statsmodels_finds_the_same(fitted: OutcomeFit) -> None:
    second = crosscheck(fitted.design)

    assert second.compared
    assert second.agrees
    # lbfgs stops near the optimum; ours is at it.
    assert second.largest_difference < 1e-3
    assert second.criterion_difference < 1e-6


def test_slopes_and_cohort_effects_share_the_variance(frame: ModelFrame) -> None:
    formula = (
        "academic_year + class_year + (1 + time | student) + (1 | community) "
        "+ (1 | community:cohort)"
    )
    fitted = fit(frame, formula)
    rows = fitted.variance_components()

    assert rows["group"].to_list() == [
        "student", "community", "community:cohort", "student | time", "residual",
    ]  # fmt: skip
    shares = dict(zip(rows["group"], rows["share"], strict=True))
    assert shares["student | time"] is None
    assert rows["share"].drop_nulls().sum() == pytest.approx(1.0)
    assert "averaged over the observed times" in fitted.record()["note"][0]
    cohorts = frame.rows.select("community", "cohort").n_unique()
    assert rows["n_levels"].to_list()[2] == cohorts


def test_a_variance_has_the_interval_that_lme4_gives() -> None:
    # R 4.2.2, lme4 1.1.31: confint(lmer(Yield ~ 1 + (1 | Batch), Dyestuff), 1:2,
    # method = "profile") is 12.198535 to 84.063047 and 38.229985 to 67.657696.
    rows = pl.read_csv(Path(__file__).parents[1] / "oracles" / "data_Dyestuff.csv")
    frame = framed(
        rows.select(
            pl.col("Batch").alias("community"),
            pl.col("Yield").cast(pl.Float64).alias("y"),
            pl.lit("w").alias("wave"),
            pl.lit(YEARS[0]).alias("academic_year"),
        ).with_row_index("student"),
        is_linked=False,
    )
    found = fit(frame, "1 + (1 | community)").variance_components()

    assert found["group"].to_list() == ["community", "residual"]
    np.testing.assert_allclose(found["conf_low"], [12.198535, 38.229985], rtol=1e-3)
    np.testing.assert_allclose(found["conf_high"], [84.063047, 67.657696], rtol=1e-3)


def test_above_the_memory_limit_satterthwaite_stands_in_and_is_named(
    fitted: OutcomeFit,
) -> None:
    small = fit_mixed(fitted.design, ddf="kenward-roger", memory_limit=0)

    assert small.df_method == "Satterthwaite"
    assert "Kenward-Roger would need" in small.notes[0]


def test_gaps_are_left_out_once_and_counted(frame: ModelFrame) -> None:
    gaps = frame.rows.with_row_index().with_columns(
        pl.when(pl.col("index") < 10).then(None).otherwise("y").alias("y"),
        pl.when(pl.col("index").is_between(5, 14))
        .then(None)
        .otherwise("class_year")
        .alias("class_year"),
        pl.when(pl.col("index") < 100).then(None).otherwise("cohort").alias("cohort"),
    )
    record = fit(framed(gaps.drop("index")), FORMULA).record()

    assert record["n_dropped"][0] == 15  # the cohort is not needed
    assert record["n_answers"][0] == frame.rows.height - 15


def test_one_academic_year_is_left_out_with_the_reason(frame: ModelFrame) -> None:
    first = framed(frame.rows.filter(pl.col("academic_year") == YEARS[0]))
    record = fit(first, "academic_year * class_year + (1 | student)").record()

    assert record["formula"][0] == "y ~ class_year + (1 | student)"
    assert "2022-23 is the only academic year" in record["note"][0]


def test_without_communities_the_term_is_left_out(frame: ModelFrame) -> None:
    nowhere = changed(frame, pl.lit(None, dtype=pl.String).alias("community"))
    record = fit(nowhere).record()

    assert record["formula"][0] == "y ~ academic_year + class_year + (1 | student)"
    assert "No community is known" in record["note"][0]
    assert record["n_communities"][0] == 0


def test_a_community_level_contrast_has_df_of_communities(frame: ModelFrame) -> None:
    kind = pl.when(pl.col("community") < "c05").then(pl.lit("a")).otherwise(pl.lit("b"))
    fitted = fit(changed(frame, kind.alias("sex")), f"sex + {FORMULA}")
    (difference,) = fitted.differences("sex")

    # 5 against 6 communities: 9 df, as R's pbkrtest gives for this design, not the
    # thousands of answers behind it.
    assert difference.df == pytest.approx(9.0, abs=0.5)
    assert difference.df_method == "Kenward-Roger"
    (year, *_) = fitted.differences("academic_year")
    assert year.df > 500


@pytest.mark.parametrize("ddf", ["kenward-roger", "satterthwaite"])
def test_intervals_use_the_df_that_they_name(
    frame: ModelFrame, ddf: Literal["kenward-roger", "satterthwaite"]
) -> None:
    fitted = fit_outcome(parse_formula(FORMULA), frame, outcome="y", ddf=ddf)
    rows = fitted.coefficients()

    assert {m.lower() for m in rows["df_method"]} == {ddf}
    assert ddf in fitted.record()["engine"][0].lower()
    half = (rows["conf_high"] - rows["conf_low"]) / 2.0 / rows["std_error"]
    np.testing.assert_allclose(half, student_t.isf(0.025, rows["df"]), rtol=1e-9)


def test_repeated_answers_without_a_student_term_get_a_warning(
    frame: ModelFrame,
) -> None:
    assert "intervals are too short" in fit(frame, "academic_year").record()["note"][0]


def test_holm_and_simultaneous_intervals(fitted: OutcomeFit) -> None:
    family = fitted.differences("academic_year")
    rows = contrast_rows(family, family="academic_year")
    p = sorted(rows["p_value"])
    stepped = np.minimum(1.0, np.maximum.accumulate((6 - np.arange(6)) * np.array(p)))

    np.testing.assert_allclose(sorted(rows["p_adjusted"]), stepped)
    assert set(rows["adjustment"]) == {"Holm over 6 academic_year contrasts"}
    half = (rows["adjusted_high"] - rows["estimate"]) / rows["std_error"]
    np.testing.assert_allclose(half, student_t.isf(0.05 / 12, rows["df"]), rtol=1e-9)


def _one_class(frame: ModelFrame) -> ModelFrame:
    return framed(frame.rows.filter(pl.col("class_year") == "M1"))


def _by_community(frame: ModelFrame) -> ModelFrame:
    """A kind of community that two communities have."""
    rare = pl.col("community").is_in(["c00", "c01"])
    sex = pl.when(rare).then(pl.lit("b")).otherwise(pl.lit("a")).alias("sex")
    return changed(frame, sex)


def _same(frame: ModelFrame) -> ModelFrame:
    return frame


REFUSED: list[tuple[Callable[[ModelFrame], ModelFrame], str, str]] = [
    (_same, "class_year + (1 + wave | student)", "slope wave in .* is not a number"),
    (_same, "academic_year + class_year + cohort", "cannot be told apart; keep two"),
    (_same, "academic_year + time + cohort", "cannot be told apart; keep two"),
    (_same, "community + (1 | student)", r"write it as \(1 \| community\)"),
    (_same, "student", r"write it as \(1 \| student\)"),
    (_same, "nowhere", "has no column 'nowhere'"),
    (_same, "wave + academic_year", "rank-deficient; academic_year"),
    (_one_class, "class_year", "class_year has one level"),
    (_by_community, "sex + (1 | community)", "needs at least 3 communities"),
    (
        lambda f: changed(f, pl.lit(2.5).alias("y")),
        "class_year",
        "the outcome is constant",
    ),
    (
        lambda f: changed(f, pl.lit(None, dtype=pl.Float64).alias("y")),
        "class_year",
        "no response has the outcome",
    ),
    (
        lambda f: changed(f, pl.lit(float("inf")).alias("y")),
        "class_year",
        "values of y are not finite numbers",
    ),
    (
        lambda f: changed(f, pl.lit(float("nan")).alias("age")),
        "age",
        "values of age are not finite numbers",
    ),
    (
        lambda f: changed(f, pl.col("time").alias("y")),
        "time",
        "explains every answer",
    ),
    (
        lambda f: changed(f, pl.lit("c").alias("community")),
        "class_year + (1 | community)",
        "community has one level",
    ),
    (
        lambda f: changed(f, pl.int_range(pl.len()).cast(pl.String).alias("community")),
        "class_year + (1 | community)",
        "community has as many levels as responses",
    ),
    (
        lambda f: changed(f, pl.col("student").alias("community")),
        "class_year + (1 | student) + (1 | community)",
        "student and community have the same members",
    ),
    (
        lambda f: framed(
            f.rows.filter(pl.col("class_year") != "M4").unique("class_year")
        ),
        "class_year",
        "3 complete responses for 3 coefficients",
    ),
]


@pytest.mark.parametrize(("change", "formula", "reason"), REFUSED)
def test_questions_without_an_answer_are_refused(
    frame: ModelFrame,
    change: Callable[[ModelFrame], ModelFrame],
    formula: str,
    reason: str,
) -> None:
    with pytest.raises(ModelError, match=reason):
        fit(change(frame), formula)


def test_an_undeclared_level_is_refused_by_count(frame: ModelFrame) -> None:
    levels = {**frame.levels, "class_year": ("M1", "M2", "M3")}
    less = ModelFrame(YEARS[-1], frame.rows, levels, ("y",), is_linked=True)
    n = frame.rows.filter(pl.col("class_year") == "M4").height

    with pytest.raises(ModelError, match=f"{n} responses have a class_year that the"):
        fit(less)


def test_an_unknown_outcome_is_refused(frame: ModelFrame) -> None:
    with pytest.raises(ModelError, match="model frame has no such outcome"):
        fit_outcome(parse_formula("class_year"), frame, outcome="z")


@pytest.mark.skipif(not STAR.exists(), reason="../shared/data/star is not here")
@pytest.mark.parametrize("outcome", ["read", "math"])
def test_star_agrees_with_lme4(outcome: str) -> None:
    reference = json.loads((STAR / "reference.json").read_text())[outcome]
    rows = pl.read_csv(STAR / "star.csv", null_values="NA", infer_schema=False).select(
        pl.col("id").alias("student"),
        pl.col("sch").alias("community"),
        pl.col("gr").alias("wave"),
        pl.col("gr").alias("academic_year"),
        "gr",
        "cltype",
        "sx",
        pl.col(outcome).cast(pl.Float64).alias("y"),
    )
    levels = {
        "gr": ("K", "1", "2", "3"),
        "cltype": ("small", "reg", "reg+A"),
        "sx": ("M", "F"),
    }
    frame = ModelFrame(YEARS[-1], rows, levels, ("y",), is_linked=True)
    fitted = fit(frame, "gr * cltype + sx + (1 | student) + (1 | community)")

    record = fitted.record()
    assert record["n_answers"][0] == reference["n"]
    assert record["n_people"][0] == reference["students"]
    assert record["n_communities"][0] == reference["schools"]
    found = fitted.coefficients()
    # Tolerances of STATISTICS.md at our own optimum.
    error = np.array(reference["coef"]["Std. Error"])
    off = (found["estimate"].to_numpy() - reference["coef"]["Estimate"]) / error
    assert np.abs(off).max() < 1e-4
    unadjusted = fit_outcome(
        parse_formula("gr * cltype + sx + (1 | student) + (1 | community)"),
        frame,
        outcome="y",
        ddf="satterthwaite",
    ).coefficients()
    np.testing.assert_allclose(unadjusted["std_error"], error, rtol=1e-4)
    np.testing.assert_allclose(unadjusted["df"], reference["coef"]["df"], rtol=5e-3)
    np.testing.assert_allclose(
        fitted.variance_components()["variance"],
        reference["varcorr"]["vcov"],
        rtol=1e-3,
    )
    criterion = -2.0 * fitted.arrays.log_likelihood
    assert criterion <= reference["reml"] + 1e-6
