"""What the formula door refuses, and the sentence for it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analyses.models import fit_lmm
from data_contracts.errors import ModelError

BASE = pl.DataFrame(
    {
        "y": [1.0, 2.5, 3.0, 4.5, 2.0, 1.5, 5.0, 2.2],
        "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 9.0],
        "twice": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 18.0],
        "one": ["a"] * 8,
        "same": [1.0] * 8,
        "infinite": [1.0, 2.0, np.inf, 4.0, 5.0, 6.0, 7.0, 8.0],
        "text": list("abababab"),
        "g": list("ppqqrrss"),
        "each": list("12345678"),
        "gone": pl.Series([None] * 8, dtype=pl.Float64),
        "minus": [-1.0] * 8,
        "day": pl.Series(["2020-01-01"] * 8).str.to_date(),
    }
)


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("same ~ x + (1 | g)", "The outcome is constant"),
        ("y ~ one + (1 | g)", "The factor one has one level"),
        ("y ~ x + (1 | one)", "Factor one has one level"),
        ("y ~ x + (1 | each)", "as many groups as rows"),
        ("y ~ x + twice + (1 | g)", "rank-deficient"),
        ("y ~ infinite + (1 | g)", "1 values that are not finite"),
        ("infinite ~ x + (1 | g)", "1 values that are not finite"),
        ("text ~ x + (1 | g)", "The column text must hold numbers"),
        ("y ~ nowhere + (1 | g)", "no column 'nowhere'"),
        ("y ~ x", "The formula has no random term"),
        ("x + (1 | g)", "The formula has no outcome"),
        ("y ~ y + (1 | g)", "both sides"),
        ("y ~ gone + (1 | g)", "No row has all columns"),
        ("y ~ day + (1 | g)", "neither text nor numbers"),
        ("y ~ x + (1 + text | each)", "16 effects for 8 rows|as many groups as rows"),
    ],
)
def test_what_makes_no_model_is_refused_in_one_sentence(
    formula: str, sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence) as refused:
        fit_lmm(formula, BASE)
    assert "\n" not in str(refused.value)


def test_other_refusals() -> None:
    with pytest.raises(ModelError, match="8 weights of 0 or less"):
        fit_lmm("y ~ x + (1 | g)", BASE, weights="minus")
    with pytest.raises(ModelError, match="leave out 1 that occur"):
        fit_lmm("y ~ text + (1 | g)", BASE, levels={"text": ["a"]})
    with pytest.raises(ModelError, match="does not use"):
        fit_lmm("y ~ x + (1 | g)", BASE, levels={"g": ["p"]})
    with pytest.raises(ModelError, match="no frame"):
        fit_lmm("y ~ x + (1 | g)", {"y": [1.0]})  # type: ignore[arg-type]
    fit = fit_lmm("y ~ text + (1 | g)", BASE)
    with pytest.raises(ModelError, match="1 rows have a level of text"):
        fit.predict(pl.DataFrame({"text": ["a", "z"]}))
