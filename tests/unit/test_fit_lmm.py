"""The formula door: names, order, rows and refusals; numbers against R by name.

Outputs of R lie in tests/oracles; other expected numbers name the call that made
them (R 4.2.2, lme4 1.1.31, lmerTest 3.1.3, pbkrtest 0.5.2). Tolerances are those of
the project's statistics specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

from analyses.coding import make_coding
from analyses.formula import parse_formula
from analyses.models import LmmFit, fit_lmm
from data_contracts.errors import ModelError
from tests.oracles.frames import MODELS, fitted, frame, output


def _column(table: dict[str, Any], name: str) -> list[float]:
    return [float(v) for v in table[name]]


def test_predictions_agree_with_lme4() -> None:
    # predict(lmer(Reaction ~ Days + (Days | Subject), sleepstudy), newdata, re.form)
    new = pl.DataFrame({"Days": [0.0, 12.0, None], "Subject": ["308", "309", "308"]})
    fit = fitted("sleepstudy")

    group = fit.predict(new, level="group")
    assert_allclose(group["estimate"][:2], [253.6636558, 233.1776309], rtol=1e-5)
    assert group["estimate"][2] is None
    population = fit.predict(new.drop("Subject"))
    assert_allclose(population["estimate"][:2], [251.4051048, 377.0125364], rtol=1e-8)
    unseen = fit.predict(
        pl.DataFrame({"Days": [0.0], "Subject": ["new"]}), level="group"
    )
    assert unseen.row(0) == (pytest.approx(251.4051048), 1)
    with pytest.raises(ModelError, match="'population' or 'group'"):
        fit.predict(new, level="individual")


def test_r2_and_icc_agree_with_their_formulas_on_lme4s_fit() -> None:
    # var(X b), sum((Lambdat Zt)^2) sigma^2 / n and sigma^2 of the REML fit in R
    found = fitted("sleepstudy").r2()

    assert found.marginal == pytest.approx(0.2786510582, rel=1e-4)
    assert found.conditional == pytest.approx(0.7992199228, rel=1e-4)
    assert found.variance_random == pytest.approx(1698.0837004369, rel=1e-4)
    assert "averaged over the observed rows (Johnson 2014)" in found.note
    shares = fitted("Machines").icc()
    assert shares["group"].to_list() == ["Worker:Machine", "Worker", "Residual"]
    assert shares["icc"].sum() == pytest.approx(1.0)
    known = 36.7679013689 / (36.7679013689 + 0.9246296278)
    assert shares["icc"][:2].sum() == pytest.approx(known, rel=1e-5)
    assert set(shares["note"]) == {""}


def test_standardised_effects_are_effects_over_the_total_sd() -> None:
    fit = fitted("Machines")
    found, raw = fit.standardised(), fit.tidy()[1:]

    total = np.sqrt(36.7679013689 + 0.9246296278)  # R: VarCorr of the REML fit
    assert_allclose(found["estimate"], raw["estimate"] / total, rtol=1e-5)
    wider = found["conf_high"] - found["conf_low"]
    narrow = (raw["conf_high"] - raw["conf_low"]) / total
    assert (wider > narrow).all()  # the SD is uncertain too
    scaled = frame("Machines").with_columns(pl.col("score") * 7.0 + 3.0)
    again = fit_lmm(MODELS["Machines"].formula, scaled).standardised()
    assert_allclose(again["conf_low"], found["conf_low"], rtol=1e-4)


def test_rows_with_a_missing_value_are_dropped_once_and_counted() -> None:
    fit = fitted("sleepstudy_na")

    assert (fit.n_obs, fit.n_dropped) == (172, 8)
    assert fit.augment()["row"].to_list() == (
        frame("sleepstudy_na")
        .with_row_index()
        .drop_nulls(["Reaction", "Days"])["index"]
        .to_list()
    )
    assert "8 of 180 rows were left out" in fit.summary()


def test_pandas_and_polars_frames_give_the_same() -> None:
    rows = frame("sleepstudy_na")
    there = pd.DataFrame({c: rows[c].to_list() for c in rows.columns})
    assert there["Reaction"].isna().any()

    fit = fit_lmm(MODELS["sleepstudy_na"].formula, there)

    assert fit.criterion == pytest.approx(fitted("sleepstudy_na").criterion, rel=1e-12)
    assert fit.n_dropped == fitted("sleepstudy_na").n_dropped


def test_order_of_levels_is_the_declared_one() -> None:
    text = frame("Machines")
    enum = text.with_columns(pl.col("Machine").cast(pl.Enum(["C", "A", "B"])))
    pandas = pd.DataFrame({c: text[c].to_list() for c in text.columns})
    pandas["Machine"] = pd.Categorical(pandas["Machine"], categories=["C", "A", "B"])
    formula = MODELS["Machines"].formula

    fits = [
        fit_lmm(formula, enum),
        fit_lmm(formula, pandas),
        fit_lmm(formula, text, levels={"Machine": ["C", "A", "B"]}),
    ]

    for fit in fits:
        assert fit.levels == {"Machine": ("C", "A", "B")}
        names = fit.tidy()["term"].to_list()
        assert names == ["(Intercept)", "MachineA", "MachineB"]
        assert fit.criterion == pytest.approx(fitted("Machines").criterion, abs=1e-7)


@pytest.mark.parametrize(
    ("worker", "levels"),
    [
        (pl.col("Worker").cast(pl.Categorical), ["1", "2", "3", "4", "5", "6"]),
        (pl.col("Worker").cast(pl.Enum(list("9654321"))), list("654321")),
        (
            pl.col("Worker").cast(pl.Int64) * 10**15,
            [f"{i}{0:015d}" for i in range(1, 7)],
        ),
        (pl.col("Worker").cast(pl.Float64), list("123456")),
        (
            pl.date(2020, 1, pl.col("Worker").cast(pl.Int32)),
            [f"2020-01-0{i}" for i in range(1, 7)],
        ),
    ],
)
def test_groups_may_be_of_any_kind(worker: pl.Expr, levels: list[str]) -> None:
    rows = frame("Machines")
    known = fit_lmm("score ~ Machine + (1 | Worker)", rows)

    fit = fit_lmm("score ~ Machine + (1 | Worker)", rows.with_columns(Worker=worker))

    assert fit.criterion == pytest.approx(known.criterion, abs=1e-7)
    assert fit.random_effects()["level"].to_list() == levels


def test_model_without_fixed_part() -> None:
    # REMLcrit(lmer(score ~ 0 + (1 | Worker), Machines)) is minus twice the plain
    # log-likelihood, as there is nothing to restrict
    fit = fit_lmm("score ~ 0 + (1 | Worker)", frame("Machines"))
    plain = fit_lmm("score ~ 0 + (1 | Worker)", frame("Machines"), reml=False)

    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-8)
    assert fit.tidy().height == 0
    assert "Number of obs: 54" in fit.summary()
    assert_allclose(fit.predict(frame("Machines")[:2])["estimate"], 0.0)


def test_numbers_stay_numbers_unless_levels_are_given() -> None:
    rows = frame("cake").with_columns(
        pl.col("temperature").cast(pl.Int64), is_hot=pl.col("temperature") > "200"
    )
    formula = "angle ~ temperature + is_hot + (1 | recipe:replicate)"

    numeric = fit_lmm(formula, rows)
    coded = fit_lmm(
        MODELS["cake"].formula, rows, levels={"temperature": range(175, 226, 10)}
    )

    terms = ["(Intercept)", "temperature", "is_hotTRUE"]
    assert numeric.tidy()["term"].to_list() == terms
    assert numeric.levels == {"is_hot": ("FALSE", "TRUE")}
    assert coded.tidy()["term"].to_list() == list(output("cake")["beta"])


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        # colnames(model.matrix(...)) in R; x is a number, g has u, v, m has A, B, C
        ("x:m + m:g", "(Intercept) x:mA x:mB x:mC mA:gv mB:gv mC:gv"),
        ("0 + g*m + x:g", "gu gv mB mC gv:mB gv:mC gu:x gv:x"),
        ("g/m", "(Intercept) gv gu:mB gv:mB gu:mC gv:mC"),
        ("m:g + g", "(Intercept) gv mB:gu mC:gu mB:gv mC:gv"),
    ],
)
def test_columns_are_named_and_ordered_as_model_matrix(
    formula: str, names: str
) -> None:
    rows = frame("Machines").with_columns(
        m="Machine",
        g=pl.Series(["u", "v"] * 27),
        x=pl.Series(np.sin(np.arange(54.0))),
    )
    if formula == "m:g + g":
        spec = parse_formula(formula)
        levels = {"m": ("A", "B", "C"), "g": ("u", "v")}
        coding = make_coding(spec.fixed_terms, levels, order=["m", "g"])
        assert coding.names == tuple(names.split())
        return
    fit = fit_lmm(f"score ~ {formula} + (1 | Worker)", rows)
    assert fit.tidy()["term"].to_list() == names.split()


def test_random_terms_are_ordered_as_mkreterms() -> None:
    # names(getME(lmer(score ~ 1 + (1|g) + (x||Worker), d), "theta"))
    rows = frame("Machines").with_columns(
        g=pl.Series(["u", "v", "u"] * 18), x=pl.Series(np.sin(np.arange(54.0)))
    )
    fit = fit_lmm("score ~ 1 + (1 | g) + (x || Worker)", rows)
    parts = [str(r.spec) for r in fit.design.random]
    assert parts == ["(0 + x | Worker)", "(1 | Worker)", "(1 | g)"]
    # and || keeps the dummies of a factor correlated
    slopes = fit_lmm("score ~ 1 + (1 + Machine || Worker)", rows)
    assert len(slopes.theta) == 7


def test_refit_is_a_fresh_fit() -> None:
    fit, rows = fitted("sleepstudy_na"), frame("sleepstudy_na")
    used = rows.drop_nulls(["Reaction", "Days"])
    other = used["Reaction"].to_numpy() ** 0.5

    found = fit.refit(np.column_stack([other, used["Reaction"].to_numpy()]))
    fresh = fit_lmm(fit.formula, used.with_columns(Reaction=other))

    assert_allclose(found.criterion, [fresh.criterion, fit.criterion], atol=1e-6)
    assert_allclose(found.beta[0], fresh.beta, rtol=1e-5)
    with pytest.raises(ModelError, match="expected 172 rows"):
        fit.refit(np.ones((3, 2)))
    with pytest.raises(ModelError, match="not finite"):
        fit.refit(np.full(fit.n_obs, np.nan))


def test_profile_has_names_and_lme4s_intervals() -> None:
    # R: confint of the profile of theta, plain likelihood; see tests/oracles/more.R
    known, found = output("weighted", "ML")["profile"], fitted("weighted").profile()

    assert found["term1"].to_list() == ["(Intercept)", "(Intercept)", "Days", None]
    assert found["parameter"].to_list() == ["sd", "correlation", "sd", "sigma"]
    assert_allclose(found["conf_low"], known["low"], rtol=2e-3)
    assert_allclose(found["conf_high"], known["high"], rtol=2e-3)


def test_bootstrap_is_reproducible_and_covers_the_estimate() -> None:
    fit = fitted("sleepstudy")
    found = fit.bootstrap(n=100, seed=1).tidy()

    assert found.equals(fit.bootstrap(n=100, seed=1).tidy())
    fixed = found.filter(pl.col("parameter") == "fixed")
    assert fixed["term1"].to_list() == ["(Intercept)", "Days"]
    assert_allclose(fixed["std_error"], fit.tidy(ddf="z")["std_error"], rtol=0.3)
    assert (found["conf_low"] <= found["conf_high"]).all()
    drawn = fit.bootstrap(n=10, cluster="Subject").tidy()
    assert drawn["parameter"].to_list() == found["parameter"].to_list()


def test_variance_test_is_rlrsims() -> None:
    # exactRLRT(lmer(Yield ~ 1 + (1 | Batch), Dyestuff), nsim = 200000)
    found = fitted("Dyestuff").test_variance("Batch")

    assert found.method == "exact"
    known = output("zero_variance")
    assert found.statistic == pytest.approx(known["statistic"], rel=1e-5)
    assert found.p_value == pytest.approx(known["p_value"], abs=0.002)
    with pytest.raises(ModelError, match="expected one of"):
        fitted("crossed_slopes").test_variance("item")


def test_influence_is_a_fit_without_the_group() -> None:
    found = fitted("sleepstudy").influence("Subject")
    rest = frame("sleepstudy").filter(pl.col("Subject") != "309")
    without = fit_lmm(MODELS["sleepstudy"].formula, rest)

    own = found.filter(pl.col("level") == "309")
    assert own["term"].to_list() == ["(Intercept)", "Days"]
    assert_allclose(own["estimate"], without.beta, rtol=1e-5)
    with pytest.raises(ModelError, match="no grouping factor LC"):
        fitted("sleepstudy").influence("LC")


def test_summary_reads_like_the_fields() -> None:
    text = fitted("sleepstudy").summary(ddf="kenward-roger")

    assert text.startswith(
        "Linear mixed model fit by REML. t-tests use Kenward-Roger's method\n"
        "Formula: Reaction ~ Days + (1 + Days | Subject)\n"
    )
    assert "REML criterion at convergence: 1743.6283" in text
    assert " Subject  (Intercept) 612." in text
    assert "Number of obs: 180, groups: Subject, 18" in text
    assert " Days         10.4673     1.5458 17.00   6.771 < 0.0001" in text
    assert "Notes:" not in text


def test_singular_fit_never_shows_satterthwaites_df_alone() -> None:
    fit = fitted("singular")
    tests = fit.tidy(ddf="satterthwaite")

    known = output("singular")
    assert_allclose(tests["df"], _column(known["satt"], "df"), rtol=5e-3)
    beside = tests["df_kenward_roger"]
    assert_allclose(beside, _column(known["kr"], "df"), rtol=5e-4)
    text = fit.summary(ddf="satterthwaite")
    assert "The fit is singular: the variance of community: (Intercept)" in text
    assert "use ddf='kenward-roger'" in text
    assert "df (K-R)" in text
    assert "df_kenward_roger" not in fit.tidy().columns


def test_default_is_kenward_roger_and_satterthwaite_says_so() -> None:
    assert set(fitted("sleepstudy").tidy()["df_method"]) == {"kenward-roger"}
    plain = fitted("sleepstudy", reml=False)
    assert set(plain.tidy()["df_method"]) == {"satterthwaite"}
    assert any("plain likelihood" in note for note in plain.notes)
    with pytest.raises(ModelError, match="needs a REML fit"):
        plain.tidy(ddf="kenward-roger")
    with pytest.raises(ModelError, match="expected 'kenward-roger'"):
        plain.tidy(ddf="residual")
    with pytest.raises(ModelError, match="between 0 and 1"):
        plain.tidy(level=95.0)


def test_memory_beyond_the_limit_means_satterthwaite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("analyses.lmm_inference.MEMORY_LIMIT", 10)
    fit = fit_lmm(MODELS["Penicillin"].formula, frame("Penicillin"))

    assert fit.tidy()["df_method"].to_list() == ["satterthwaite"]
    assert any("more memory" in note for note in fit.notes)
    with pytest.raises(ModelError, match="use Satterthwaite"):
        fit.tidy(ddf="kenward-roger")


def test_answer_does_not_change_with_row_order_or_group_labels() -> None:
    name = "lcstudy_kr_small"
    fit, rows = fitted(name), frame(name)
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=3).with_columns(
        LC=pl.col("LC").replace_strict({f"LC{i:02d}": i * 7 % 11 for i in range(1, 12)})
    )

    again = fit_lmm(MODELS[name].formula, mixed, levels={"format": ["old", "new"]})

    assert again.criterion == pytest.approx(fit.criterion, abs=1e-6)
    assert_allclose(again.tidy()["df"], fit.tidy()["df"], rtol=1e-3)


def test_nothing_in_a_fit_changes() -> None:
    fit: LmmFit = fitted("sleepstudy")
    before = fit.vcov()
    fit.vcov()[:] = 0.0
    assert_allclose(fit.vcov(), before)
    with pytest.raises(AttributeError):
        fit.engine = None  # type: ignore[misc, assignment]
