"""The reference sets as arrays, and R's numbers beside them.

`lmm.R`, `kenward_roger.R` and `more.R` in this folder made the outputs (R 4.2.2, lme4
1.1.31, lmerTest 3.1.3, pbkrtest 0.5.2). Theta names follow lme4's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from analyses.lmm.design import Array, Ints, RandomTerm

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"


@dataclass(frozen=True)
class Oracle:
    """A design with R's output."""

    y: Array
    x: Array
    terms: tuple[RandomTerm, ...]
    theta_names: tuple[str, ...]
    weights: Array | None
    output: dict[str, Any]

    def theta(self, method: str) -> Array:
        """R's theta in the order of the terms here."""
        found = self.output[method]["theta"]
        return np.array([found[name] for name in self.theta_names])


def coded(*columns: pl.Series) -> tuple[Ints, int]:
    """Codes of the combinations of columns, in the order of their text."""
    text = [":".join(map(str, row)) for row in zip(*columns, strict=True)]
    levels, codes = np.unique(text, return_inverse=True)
    return codes.astype(np.int64), len(levels)


def dummies(column: pl.Series, levels: Sequence[str] | None = None) -> Array:
    """Treatment coding, without the first level."""
    text = column.cast(pl.String).to_numpy()
    known = sorted(set(text)) if levels is None else levels
    return np.column_stack([(text == level).astype(np.float64) for level in known[1:]])


def products(a: Array, b: Array) -> Array:
    """All products of columns, b's index slowest, as R orders interactions."""
    return np.column_stack(
        [a[:, i] * b[:, j] for j in range(b.shape[1]) for i in range(a.shape[1])]
    )


def term(
    name: str, codes: tuple[Ints, int], *columns: Array, correlated: bool = True
) -> RandomTerm:
    """A term from named codes and columns; no column means an intercept."""
    n = len(codes[0])
    z = np.column_stack(columns) if columns else np.ones((n, 1))
    names = tuple(f"c{j}" for j in range(z.shape[1])) if columns else ("(Intercept)",)
    return RandomTerm(name, *codes, z, correlated, names)


Parts = tuple[Array, Array, list[RandomTerm], list[str]]


def _one(d: pl.DataFrame) -> Array:
    return np.ones(d.height)


def _values(d: pl.DataFrame, name: str) -> Array:
    return d[name].cast(pl.Float64).to_numpy()


def _sleepstudy(d: pl.DataFrame) -> Parts:
    days, one = _values(d, "Days"), _one(d)
    terms = [term("Subject", coded(d["Subject"]), one, days)]
    names = ["Subject.(Intercept)", "Subject.Days.(Intercept)", "Subject.Days"]
    return _values(d, "Reaction"), np.column_stack([one, days]), terms, names


def _sleepstudy_uncor(d: pl.DataFrame) -> Parts:
    y, x, terms, names = _sleepstudy(d)
    codes = (terms[0].codes, terms[0].n_groups)
    apart = [term("Subject", codes), term("Subject", codes, x[:, 1])]
    return y, x, apart, [names[0], names[2]]


def _dyestuff(d: pl.DataFrame) -> Parts:
    terms = [term("Batch", coded(d["Batch"]))]
    return _values(d, "Yield"), _one(d)[:, None], terms, ["Batch.(Intercept)"]


def _penicillin(d: pl.DataFrame) -> Parts:
    terms = [term(g, coded(d[g])) for g in ("plate", "sample")]
    names = ["plate.(Intercept)", "sample.(Intercept)"]
    return _values(d, "diameter"), _one(d)[:, None], terms, names


def _pastes(d: pl.DataFrame) -> Parts:
    terms = [
        term("batch", coded(d["batch"])),
        term("cask:batch", coded(d["batch"], d["cask"])),
    ]
    names = ["batch.(Intercept)", "cask:batch.(Intercept)"]
    return _values(d, "strength"), _one(d)[:, None], terms, names


def _machines(d: pl.DataFrame) -> Parts:
    x = np.column_stack([_one(d), dummies(d["Machine"])])
    terms = [
        term("Worker", coded(d["Worker"])),
        term("Worker:Machine", coded(d["Worker"], d["Machine"])),
    ]
    names = ["Worker.(Intercept)", "Worker:Machine.(Intercept)"]
    return _values(d, "score"), x, terms, names


def _factor_slope(d: pl.DataFrame) -> Parts:
    y, x, _, _ = _machines(d)
    first = x[:, 0] - x[:, 1] - x[:, 2]
    terms = [term("Worker", coded(d["Worker"]), first, x[:, 1], x[:, 2])]
    names = [
        "Worker.MachineA", "Worker.MachineB.MachineA", "Worker.MachineC.MachineA",
        "Worker.MachineB", "Worker.MachineC.MachineB", "Worker.MachineC",
    ]  # fmt: skip
    return y, x, terms, names


def _cake(d: pl.DataFrame) -> Parts:
    recipe, heat = dummies(d["recipe"]), dummies(d["temperature"])
    x = np.column_stack([_one(d), recipe, heat, products(recipe, heat)])
    terms = [term("recipe:replicate", coded(d["recipe"], d["replicate"]))]
    return _values(d, "angle"), x, terms, ["recipe:replicate.(Intercept)"]


def _three_level(d: pl.DataFrame) -> Parts:
    slope, one = _values(d, "x"), _one(d)
    terms = [
        term("pupil", coded(d["pupil"]), one, slope),
        term("class", coded(d["class"]), one, slope),
        term("school", coded(d["school"])),
    ]
    names = [
        f"{g}.{e}"
        for g in ("pupil", "class")
        for e in ("(Intercept)", "x.(Intercept)", "x")
    ]
    x = np.column_stack([one, slope])
    return _values(d, "y"), x, terms, [*names, "school.(Intercept)"]


def _crossed_slopes(d: pl.DataFrame) -> Parts:
    cond, one = _values(d, "cond"), _one(d)
    terms = [
        term("subject", coded(d["subject"]), one, cond),
        term("item", coded(d["item"]), one, cond, correlated=False),
    ]
    names = [
        "subject.(Intercept)", "subject.cond.(Intercept)", "subject.cond",
        "item.(Intercept)", "item.cond",
    ]  # fmt: skip
    return _values(d, "y"), np.column_stack([one, cond]), terms, names


def _singular(d: pl.DataFrame) -> Parts:
    x = np.column_stack([_one(d), _values(d, "wave"), _values(d, "mentor")])
    terms = [
        term("student", coded(d["student"])),
        term("community", coded(d["community"])),
    ]
    return _values(d, "y"), x, terms, ["student.(Intercept)", "community.(Intercept)"]


def _lcstudy(d: pl.DataFrame) -> Parts:
    one, time = _one(d), _values(d, "time")
    year = dummies(d["year"], ["Y1", "Y2", "Y3", "Y4"])
    new, wave = dummies(d["format"], ["old", "new"]), dummies(d["wave"])
    x = np.column_stack([one, year, new, wave, products(year, new)])
    terms = [
        term("student", coded(d["student"]), one, time),
        term("LC:class", coded(d["LC"], d["class"])),
        term("LC", coded(d["LC"])),
    ]
    names = [
        "student.(Intercept)", "student.time.(Intercept)", "student.time",
        "LC:class.(Intercept)", "LC.(Intercept)",
    ]  # fmt: skip
    return _values(d, "score"), x, terms, names


def _insteval(d: pl.DataFrame) -> Parts:
    x = np.column_stack([_one(d), _values(d, "service")])
    terms = [term(g, coded(d[g])) for g in ("s", "d", "dept")]
    return _values(d, "y"), x, terms, [f"{g}.(Intercept)" for g in ("s", "d", "dept")]


BUILD: dict[str, Callable[[pl.DataFrame], Parts]] = {
    "Dyestuff": _dyestuff,
    "Machines": _machines,
    "Pastes": _pastes,
    "Penicillin": _penicillin,
    "cake": _cake,
    "crossed_slopes": _crossed_slopes,
    "factor_slope": _factor_slope,
    "singular": _singular,
    "sleepstudy": _sleepstudy,
    "sleepstudy_na": _sleepstudy,
    "sleepstudy_uncor": _sleepstudy_uncor,
    "three_level": _three_level,
    "weighted": _sleepstudy,
}
NAMES = tuple(BUILD)


def oracle(name: str) -> Oracle:
    """A committed reference set."""
    data = pl.read_csv(
        HERE / f"data_{name}.csv", null_values=["NA"], infer_schema=False
    ).drop_nulls()
    weights = _values(data, "w") if name == "weighted" else None
    return _assembled(BUILD[name](data), HERE / f"{name}.json", weights)


def lcstudy(*, small: bool) -> Oracle:
    """The study of 11 communities: half of it is committed, the whole is shared."""
    folder = HERE if small else SHARED / "oracles"
    stem = "lcstudy_kr_small" if small else "lcstudy"
    data = pl.read_csv(folder / f"{stem}.csv", infer_schema=False)
    return _assembled(_lcstudy(data), folder / f"{stem}.json", None)


def insteval() -> Oracle:
    """73,421 ratings of lecturers by students (shared, not committed)."""
    folder = SHARED / "oracles"
    data = pl.read_csv(folder / "data_InstEval.csv", infer_schema=False)
    return _assembled(_insteval(data), folder / "InstEval_dept_REML.json", None)


def star(outcome: str) -> Oracle:
    """Tennessee STAR (shared, not committed)."""
    folder = SHARED / "data" / "star"
    d = pl.read_csv(
        folder / "star.csv", null_values=["NA"], infer_schema=False
    ).drop_nulls([outcome, "gr", "cltype", "sx", "id", "sch"])
    grade = dummies(d["gr"], ["K", "1", "2", "3"])
    kind = dummies(d["cltype"], ["small", "reg", "reg+A"])
    sex = dummies(d["sx"], ["M", "F"])
    x = np.column_stack([_one(d), grade, kind, sex, products(grade, kind)])
    terms = [term(g, coded(d[g])) for g in ("id", "sch")]
    parts: Parts = (_values(d, outcome), x, terms, [])
    found = _assembled(parts, folder / "reference.json", None)
    return Oracle(found.y, x, found.terms, (), None, found.output[outcome])


def _assembled(parts: Parts, output: Path, weights: Array | None) -> Oracle:
    y, x, terms, names = parts
    found = json.loads(output.read_text("utf-8"))
    return Oracle(y, x, tuple(terms), tuple(names), weights, found)
