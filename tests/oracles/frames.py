"""The reference sets as formulas and frames; their outputs as R wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from analyses.models import LmmFit, fit_lmm

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Model:
    """A formula, the columns that are numbers, and what else the fit needs."""

    formula: str
    numbers: tuple[str, ...]
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weights: str | None = None


_SLEEP = "Reaction ~ Days + (Days | Subject)"
_STUDY = (
    "score ~ year * format + wave + (1 + time | student) + (1 | LC) + (1 | LC:class)"
)

MODELS = {
    "Dyestuff": Model("Yield ~ 1 + (1 | Batch)", ("Yield",)),
    "Machines": Model(
        "score ~ Machine + (1 | Worker) + (1 | Worker:Machine)", ("score",)
    ),
    "Pastes": Model("strength ~ 1 + (1 | batch/cask)", ("strength",)),
    "Penicillin": Model("diameter ~ 1 + (1 | plate) + (1 | sample)", ("diameter",)),
    "cake": Model("angle ~ recipe * temperature + (1 | recipe:replicate)", ("angle",)),
    "crossed_slopes": Model(
        "y ~ cond + (1 + cond | subject) + (1 + cond || item)", ("y", "cond")
    ),
    "factor_slope": Model("score ~ Machine + (0 + Machine | Worker)", ("score",)),
    "lcstudy_kr_small": Model(_STUDY, ("score", "time"), {"format": ["old", "new"]}),
    "singular": Model(
        "y ~ wave + mentor + (1 | student) + (1 | community)", ("y", "wave", "mentor")
    ),
    "sleepstudy": Model(_SLEEP, ("Reaction", "Days")),
    "sleepstudy_na": Model(_SLEEP, ("Reaction", "Days")),
    "sleepstudy_uncor": Model(
        "Reaction ~ Days + (Days || Subject)", ("Reaction", "Days")
    ),
    "three_level": Model(
        "y ~ x + (1 + x | pupil) + (1 + x | class) + (1 | school)", ("y", "x")
    ),
    "weighted": Model(_SLEEP, ("Reaction", "Days", "w"), weights="w"),
}


@cache
def frame(name: str) -> pl.DataFrame:
    """Text but for the columns that are numbers, as R read them."""
    path = HERE / f"data_{name}.csv"
    if not path.exists():
        path = HERE / f"{name}.csv"
    data = pl.read_csv(path, null_values=["NA"], infer_schema=False)
    numbers = MODELS[name].numbers
    stripped = pl.col(pl.String).str.strip_chars()
    return data.with_columns(stripped).with_columns(pl.col(numbers).cast(pl.Float64))


@cache
def fitted(name: str, *, reml: bool = True) -> LmmFit:
    """The set's model through the public door."""
    model = MODELS[name]
    return fit_lmm(
        model.formula,
        frame(name),
        reml=reml,
        weights=model.weights,
        levels=model.levels,
    )


@cache
def output(name: str, method: str = "REML") -> dict[str, Any]:
    """What R found."""
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text("utf-8"))
    own: dict[str, Any] = found.get(method, found)
    return own
