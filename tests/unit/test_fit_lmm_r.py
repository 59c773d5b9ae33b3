"""The formula door against R, number by number and by R's names.

Outputs of R (4.2.2, lme4 1.1.31, lmerTest 3.1.3, pbkrtest 0.5.2) lie in
tests/oracles; tolerances are those of the project's statistics specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.oracles.frames import MODELS, fitted, output

NAMES = [name for name in MODELS if name != "lcstudy_kr_small"]
WITH_KR = [name for name in MODELS if name != "weighted"]


def _column(table: dict[str, Any], name: str) -> list[float]:
    return [float(v) for v in table[name]]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_fit_agrees_with_lme4(name: str, reml: bool) -> None:
    known, fit = output(name, "REML" if reml else "ML"), fitted(name, reml=reml)
    tests = fit.tidy(ddf="z")

    assert fit.criterion <= known["crit"] + 1e-6
    assert tests["term"].to_list() == list(known["beta"])
    assert_allclose(tests["estimate"], list(known["beta"].values()), rtol=1e-4)
    assert_allclose(tests["std_error"], list(known["se"].values()), rtol=1e-4)
    assert fit.is_singular == known["singular"]
    glance = fit.glance().row(0, named=True)
    assert_allclose(glance["AIC"], known["AIC"], atol=1e-4)
    assert_allclose(glance["BIC"], known["BIC"], atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_variance_components_come_as_lme4_lists_them(name: str) -> None:
    known, found = output(name)["varcorr"], fitted(name).variance_components()

    assert found["term1"].to_list() == known["var1"]
    assert found["term2"].to_list() == known["var2"]
    apart = found["term2"].is_null().to_numpy()
    variances = np.array(known["vcov"], dtype=float)
    assert_allclose(found["variance"].filter(apart), variances[apart], rtol=1e-3)
    correlations = np.array(known["sdcor"], dtype=float)[~apart]
    assert_allclose(found["sd"].filter(~apart), correlations, atol=1e-3)


def test_theta_comes_in_lme4s_order() -> None:
    for name in NAMES:
        theta = list(output(name)["theta"].values())
        assert_allclose(fitted(name).theta, theta, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_satterthwaite_agrees_with_lmertest(name: str) -> None:
    known, tests = output(name)["satt"], fitted(name).tidy(ddf="satterthwaite")
    listed = name not in {"singular", "weighted", "three_level", "crossed_slopes"}

    assert_allclose(tests["df"], _column(known, "df"), rtol=1e-3 if listed else 5e-3)
    assert_allclose(tests["statistic"], _column(known, "t value"), rtol=2e-4)
    assert set(tests["df_method"]) == {"satterthwaite"}


@pytest.mark.parametrize("name", WITH_KR)
def test_kenward_roger_agrees_with_pbkrtest(name: str) -> None:
    known, fit = output(name), fitted(name)
    tests = fit.tidy(ddf="kenward-roger")

    assert tests["term"].to_list() == known["kr"]["term"]
    assert_allclose(tests["df"], _column(known["kr"], "df"), rtol=5e-4)
    assert_allclose(fit.vcov(ddf="kenward-roger"), known["kr_vcov"], rtol=1e-3)
    p = np.array(_column(known["kr"], "Pr(>|t|)"))
    assert_allclose(tests["p_value"], p, rtol=5e-3, atol=1e-12)


def test_blups_and_their_errors_agree_with_ranef() -> None:
    known, found = output("sleepstudy"), fitted("sleepstudy").random_effects()
    by_term = found.partition_by("term", as_dict=True)

    for j, term in enumerate(("(Intercept)", "Days")):
        own = by_term[term,]
        assert own["level"].to_list() == known["blup"]["Subject"]["level"]
        assert_allclose(own["estimate"], known["blup"]["Subject"][term], rtol=1e-3)
        spread = [np.sqrt(c[j][j]) for c in known["condvar"]["Subject"]]
        assert_allclose(own["std_error"], spread, rtol=1e-3)


def test_fitted_values_and_leverage_agree_with_lme4() -> None:
    rows, known = fitted("three_level").augment(), output("three_level")

    assert_allclose(rows["fitted"], known["fitted"], rtol=1e-3, atol=1e-3)
    assert_allclose(rows["leverage"], known["hat"], rtol=1e-3, atol=1e-4)
    assert_allclose(rows["y"], rows["fitted"] + rows["residual"])
