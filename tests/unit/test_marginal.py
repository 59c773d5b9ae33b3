"""Marginal means and contrasts against emmeans 1.8.4, number by number."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose

from analyses.mean_contrasts import named_contrasts
from analyses.models import LmmFit, fit_lmm
from data_contracts.errors import ModelError
from tests.oracles.frames import fitted, frame, output


@pytest.mark.parametrize("ddf", ["kenward-roger", "satterthwaite"])
def test_means_agree_with_emmeans(ddf: str) -> None:
    known = output("Machines")[f"emm_{ddf}"]

    found = fitted("Machines").marginal_means("Machine", ddf=ddf).tidy()

    assert found["Machine"].to_list() == known["Machine"]
    assert_allclose(found["estimate"], known["emmean"], rtol=1e-6)
    assert_allclose(found["std_error"], known["SE"], rtol=1e-4)
    assert_allclose(found["df"], known["df"], rtol=1e-3)
    assert_allclose(found["conf_low"], known["lower.CL"], rtol=1e-4)
    assert_allclose(found["conf_high"], known["upper.CL"], rtol=1e-4)


@pytest.mark.parametrize("ddf", ["kenward-roger", "satterthwaite"])
def test_pairs_within_levels_agree_with_emmeans(ddf: str) -> None:
    # R: pairs of emmeans(m, ~ recipe | temperature), Tukey; see tests/oracles/lmm.R
    known = output("cake")[f"pairs_{ddf}"]

    means = fitted("cake").marginal_means("recipe", by="temperature", ddf=ddf)
    found = means.contrasts("pairwise", adjust="tukey").tidy()

    assert found["contrast"].to_list() == known["contrast"]
    assert found["temperature"].to_list() == known["temperature"]
    assert_allclose(found["estimate"], known["estimate"], rtol=1e-6, atol=1e-9)
    assert_allclose(found["std_error"], known["SE"], rtol=1e-4)
    assert_allclose(found["df"], known["df"], rtol=1e-3)
    assert_allclose(found["p_adjusted"], known["p.value"], rtol=1e-4, atol=1e-8)
    assert set(found["adjustment"]) == {"tukey over 3"}
    assert set(found["df_method"]) == {ddf}


def test_z_has_infinite_df_and_agrees_with_asymptotic() -> None:
    known = output("Machines")["pairs_asymptotic"]

    means = fitted("Machines").marginal_means("Machine", ddf="z")
    found = means.contrasts("pairwise").tidy()

    assert found["df"].is_infinite().all()
    assert_allclose(found["p_adjusted"], known["p.value"], rtol=1e-3)


@pytest.mark.parametrize(
    ("method", "names", "estimates"),
    [
        # contrast(emmeans(m, ~ Machine), method) on Machines
        ("trt.vs.ctrl", ["B - A", "C - A"], [7.966666667, 13.91666667]),
        ("consec", ["B - A", "C - B"], [7.966666667, 5.95]),
        (
            "eff",
            ["A effect", "B effect", "C effect"],
            [-7.294444444, 0.6722222222, 6.622222222],
        ),
        ("poly", ["linear", "quadratic"], [13.91666667, -2.016666667]),
        (
            "revpairwise",
            ["B - A", "C - A", "C - B"],
            [7.966666667, 13.91666667, 5.95],
        ),
    ],
)
def test_contrasts_by_name_are_emmeans(
    method: str, names: list[str], estimates: list[float]
) -> None:
    means = fitted("Machines").marginal_means("Machine")

    found = means.contrasts(method, adjust="single-step").tidy()

    assert found["contrast"].to_list() == names
    assert_allclose(found["estimate"], estimates, rtol=1e-8)
    assert set(found["interval"]) == {"single-step"}


def test_polynomials_are_the_tabled_whole_numbers() -> None:
    # emmeans::poly.emmc(1:5)
    found = named_contrasts("poly", list("abcde"))

    assert found.names == ("linear", "quadratic", "cubic", "quartic")
    assert found.matrix.tolist() == [
        [-2, -1, 0, 1, 2],
        [2, -1, -2, -1, 2],
        [-1, 2, 0, -2, 1],
        [1, -4, 6, -4, 1],
    ]


def test_satterthwaite_contrasts_of_years_agree_with_emmeans() -> None:
    # pairs(emmeans(m, ~ year, lmer.df = "satterthwaite"), adjust = "tukey") on
    # lcstudy_kr_small, infer = TRUE; single-step: mvtnorm's pmvt with abseps = 1e-8
    # (emmeans' own mvt stops at 1e-3)
    means = fitted("lcstudy_kr_small").marginal_means("year", ddf="satterthwaite")

    tukey = means.contrasts("pairwise", adjust="tukey").tidy()
    step = means.contrasts("pairwise", adjust="single-step").tidy()

    estimates = [
        -0.2639918615,
        -0.4081392796,
        -0.2643979398,
        -0.1441474182,
        -0.0004060783507,
        0.1437413398,
    ]
    df = [1952.230004, 1043.67611, 442.9614244, 1939.474452, 1053.437216, 1934.538314]
    low = [
        -0.3743557365,
        -0.530502007,
        -0.4067571362,
        -0.2521726169,
        -0.1228608645,
        0.03290791079,
    ]
    assert_allclose(tukey["estimate"], estimates, rtol=1e-4, atol=1e-6)
    assert_allclose(tukey["df"], df, rtol=5e-3)
    assert_allclose(tukey["conf_low"], low, rtol=1e-4)
    assert_allclose(
        tukey["p_adjusted"][3:], [0.00343397, 0.99999998, 0.004820717], 1e-3
    )
    p_step = step["p_adjusted"].to_numpy()[[2, 3, 5]]
    assert_allclose(p_step, [1.34e-05, 0.0033665, 0.0047229], rtol=1e-4, atol=1e-7)
    assert_allclose(step["conf_low"][0], -0.3740714153, rtol=2e-4)
    assert (step["p_adjusted"] <= tukey["p_adjusted"] + 1e-9).all()


def _unbalanced() -> LmmFit:
    """Machines less seven rows, with a number x and a second factor g."""
    kept = [i for i in range(54) if i + 1 not in {1, 2, 5, 17, 30, 31, 44}]
    place = np.arange(1, 48)
    rows = frame("Machines")[kept].with_columns(
        x=pl.Series(np.round(np.sin(place * 1.7) + place / 40, 4)),
        g=pl.Series(["u" if i % 3 == 0 else "v" for i in place]),
    )
    return fit_lmm("score ~ Machine * x + g * Machine + (1 | Worker)", rows)


def test_numbers_stand_at_their_mean_or_where_told() -> None:
    # emmeans(m, ~ Machine | g) and emmeans(m, ~ Machine, at = list(x = 2)), m being
    # lmer(score ~ Machine * x + g * Machine + (1 | Worker)) on the same rows
    fit = _unbalanced()

    by_g = fit.marginal_means("Machine", by="g").tidy()
    assert by_g["g"].to_list() == ["u"] * 3 + ["v"] * 3
    assert_allclose(by_g["estimate"][:2], [51.00884049, 60.32819897], rtol=1e-6)
    assert_allclose(by_g["std_error"][:2], [2.926195862, 2.635200596], rtol=1e-5)
    assert_allclose(by_g["df"][:2], [13.06, 9.05], atol=0.005)
    at_two = fit.marginal_means("Machine", at={"x": [2.0]}).tidy()
    assert_allclose(at_two["estimate"], [50.22187, 60.44022, 66.81762], rtol=1e-6)
    line = fit.marginal_means("x", at={"x": [0.0, 1.0]})
    slope = line.contrasts("consec", adjust="none").tidy()
    # the slope averaged over machines: x + (MachineB:x + MachineC:x) / 3 in R
    known = -1.005912159 + (1.222990472 + 1.294286346) / 3.0
    assert slope["estimate"][0] == pytest.approx(known, rel=1e-4)
    assert slope["contrast"].to_list() == ["1.0 - 0.0"]


def test_explicit_coefficients_and_joint_tests() -> None:
    means = fitted("Machines").marginal_means("Machine")

    found = means.contrasts({"C against the rest": [-0.5, -0.5, 1.0]}, adjust="none")
    whole = means.contrasts("pairwise").joint().row(0, named=True)

    row = found.tidy().row(0, named=True)
    assert row["contrast"] == "C against the rest"
    assert row["estimate"] == pytest.approx(1.5 * 6.622222222, rel=1e-8)
    known = output("Machines")["kr_anova"]
    assert whole["statistic"] == pytest.approx(known["F value"][0], rel=1e-5)
    assert whole["den_df"] == pytest.approx(known["DenDF"][0], rel=1e-4)


def test_one_family_over_all_levels_is_stricter() -> None:
    means = fitted("cake").marginal_means("recipe", by="temperature")

    within = means.contrasts("pairwise", adjust="bonferroni").tidy()
    over = means.contrasts("pairwise", adjust="bonferroni", family="all").tidy()

    assert set(over["adjustment"]) == {"bonferroni over 18"}
    assert (over["p_adjusted"] >= within["p_adjusted"]).all()
    with pytest.raises(ModelError, match="'by' or 'all'"):
        means.contrasts(family="question").tidy()
    with pytest.raises(ModelError, match="take single-step"):
        means.contrasts("pairwise", adjust="tukey", family="all").tidy()


def test_standardised_contrasts_are_over_the_total_sd() -> None:
    contrasts = fitted("Machines").marginal_means("Machine").contrasts("pairwise")

    found = contrasts.standardised()

    total = np.sqrt(36.7679013689 + 0.9246296278)  # R: VarCorr of the REML fit
    assert_allclose(found["estimate"], contrasts.tidy()["estimate"] / total, rtol=1e-5)
    assert found["contrast"].to_list() == ["A - B", "A - C", "B - C"]


def test_singular_fits_show_kenward_rogers_df_beside() -> None:
    rows = frame("singular").with_columns(
        mentor=pl.when(pl.col("mentor") == 1)
        .then(pl.lit("yes"))
        .otherwise(pl.lit("no"))
    )
    fit = fit_lmm("y ~ wave + mentor + (1 | student) + (1 | community)", rows)
    assert fit.is_singular

    means = fit.marginal_means("mentor", ddf="satterthwaite")
    row = means.contrasts("pairwise").tidy().row(0, named=True)

    known = output("singular")
    assert row["df"] == pytest.approx(known["satt"]["df"][2], rel=5e-3)
    assert row["df_kenward_roger"] == pytest.approx(known["kr"]["df"][2], rel=1e-3)


def test_meaningless_questions_are_refused() -> None:
    fit = fitted("Machines")
    means = fit.marginal_means("Machine")
    with pytest.raises(ModelError, match="the fixed part has Machine"):
        fit.marginal_means("Worker")
    with pytest.raises(ModelError, match="nothing cannot be taken"):
        fit.marginal_means([])
    with pytest.raises(ModelError, match="Values to hold"):
        fit.marginal_means("Machine", at={"Machine": [1.0]})
    with pytest.raises(ModelError, match="expected one of pairwise"):
        means.contrasts("helmert")
    with pytest.raises(ModelError, match="take single-step"):
        means.contrasts("eff", adjust="tukey").tidy()
    with pytest.raises(ModelError, match="rows of 3 finite numbers"):
        means.contrasts(np.array([[1.0, -1.0]]))
    with pytest.raises(ModelError, match="no matrix of numbers"):
        means.contrasts({"a": [1.0, -1.0, 0.0], "b": [1.0]})
    with pytest.raises(ModelError, match="counted from 0"):
        means.contrasts("trt.vs.ctrl", reference=3)
    slope = fitted("sleepstudy").marginal_means("Days")
    with pytest.raises(ModelError, match="one mean only"):
        slope.contrasts("pairwise")


def test_anova_agrees_with_lmertest() -> None:
    # anova(m, type, ddf) on the unbalanced rows; lmerTest 3.1.3
    fit = _unbalanced()
    third = fit.anova(type="III", ddf="satterthwaite")
    roger = fit.anova(type="III", ddf="kenward-roger")
    first = fit.anova(type="I", ddf="satterthwaite")

    terms = ["Machine", "x", "g", "Machine:x", "Machine:g"]
    for table in (third, roger, first):
        assert table["term"].to_list() == terms
        assert table["num_df"].to_list() == [2, 1, 1, 2, 2]
    f3 = [29.18098138699, 0.05032341731, 0.00830048025, 0.28972697704, 0.23005965328]
    assert_allclose(third["statistic"], f3, rtol=1e-5)
    d3 = [33.21613634, 33.11457491, 33.08493641, 33.27214223, 33.07262726]
    assert_allclose(third["den_df"], d3, rtol=1e-3)
    fk = [29.0756256269, 0.05025169082, 0.00829211181, 0.28840560787, 0.22975923697]
    assert_allclose(roger["statistic"], fk, rtol=1e-5)
    dk = [33.20360913, 33.10184604, 33.0721418, 33.25980527, 33.0598083]
    assert_allclose(roger["den_df"], dk, rtol=1e-4)
    f1 = [58.38122334, 0.02426905757, 1.307452775e-05, 0.2772531884, 0.2300596533]
    assert_allclose(first["statistic"], f1, rtol=1e-4)
    p3 = [4.842847196e-08, 0.8238798655, 0.9279569754, 0.7503368737, 0.7957469838]
    assert_allclose(third["p_value"], p3, rtol=1e-4)


@pytest.mark.parametrize("name", ["cake", "sleepstudy", "Machines", "singular"])
@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_type_three_agrees_with_lmertest_on_the_oracles(name: str, ddf: str) -> None:
    known = output(name)["satt_anova" if ddf == "satterthwaite" else "kr_anova"]

    found = fitted(name).anova(ddf=ddf)

    assert found["term"].to_list() == known["term"]
    assert_allclose(found["statistic"], known["F value"], rtol=1e-4)
    assert_allclose(found["den_df"], known["DenDF"], rtol=1e-3)
    assert_allclose(found["sum_sq"], known["Sum Sq"], rtol=1e-3)


def test_type_three_does_not_depend_on_the_reference() -> None:
    rows = frame("cake")
    other = fit_lmm(
        "angle ~ recipe * temperature + (1 | recipe:replicate)",
        rows[:251],
        levels={"recipe": ["C", "A", "B"]},
    )
    same = fit_lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", rows[:251])

    assert_allclose(other.anova()["statistic"], same.anova()["statistic"], rtol=1e-6)
    with pytest.raises(ModelError, match="'III' or 'I'"):
        same.anova(type="II")
    with pytest.raises(ModelError, match="no term besides the intercept"):
        fitted("Pastes").anova()


def test_satterthwaite_denominators_of_several_rows_agree_with_lmertest() -> None:
    # anova(m, type) on lcstudy_kr_small: the df of several rows depend on the basis
    fit = fitted("lcstudy_kr_small")
    third = fit.anova(type="III", ddf="satterthwaite")
    first = fit.anova(type="I", ddf="satterthwaite")

    df3 = [1064.13325089, 15.05254987, 1885.52450834, 1136.77850618]
    df1 = [792.06697062, 15.04572043, 1885.82933647, 887.98869504]
    assert_allclose(third["den_df"], df3, rtol=1e-3)
    assert_allclose(first["den_df"], df1, rtol=1e-3)
    f3 = [26.1962898775, 0.9576677397, 5.3336677532, 0.4878696455]
    assert_allclose(third["statistic"], f3, rtol=1e-4)


def test_type_three_without_some_margins() -> None:
    # anova(lmer(., mu), type = "III") for models that leave a margin out
    x = _unbalanced()
    kept = [i for i in range(54) if i + 1 not in {1, 2, 5, 17, 30, 31, 44}]
    rows = frame("Machines")[kept].with_columns(
        x=x.design.values["x"],
        g=pl.Series(["u" if c == 0 else "v" for c in x.design.values["g"].tolist()]),
    )
    apart = fit_lmm("score ~ Machine + x:Machine + (1 | Worker)", rows)
    none = fit_lmm("score ~ 0 + Machine * x + (1 | Worker)", rows)
    within = fit_lmm("score ~ g + g:Machine + (1 | Worker)", rows)
    crossed = fit_lmm("score ~ g * Machine + (1 | Worker)", rows)

    own = apart.anova(ddf="satterthwaite")
    assert own["num_df"].to_list() == [2, 3]
    assert_allclose(own["statistic"], [33.592463925, 0.210561479], rtol=1e-5)
    assert_allclose(own["den_df"], [36.20269816, 36.2254521], rtol=1e-3)
    assert_allclose(
        none.anova(ddf="satterthwaite")["statistic"],
        [237.83890134647, 0.04643355363, 0.30324427136],
        rtol=1e-4,
    )
    # The same model written twice: a test that does not depend on the coding.
    g = pl.col("term") == "g"
    assert within.anova().filter(g)["statistic"][0] == pytest.approx(
        crossed.anova().filter(g)["statistic"][0], rel=1e-6
    )
