"""F tests of whole terms: type III and sequential (type I), as lmerTest.

Type III tests a term's effects with every other factor at the mean of its levels,
whatever the coding; type I tests terms in the order of the formula, each beyond
those before it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.coding import Array, CodedTerm, Coding
from analyses.lmm_design import LmmDesign
from analyses.lmm_inference import FittedModel
from data_contracts.errors import ModelError

__all__ = ["anova_table", "term_contrasts"]

_ROWS_AT_ONCE = 50_000


def term_contrasts(model: FittedModel, kind: str) -> dict[str, Array]:
    """Contrasts on the fixed effects that make up each term's test.

    Args:
        model: The fitted model.
        kind: ``"III"`` or ``"I"``.

    Raises:
        ModelError: Another kind.
    """
    terms = [t for t in model.design.coding.terms if t.variables]
    if kind == "I" or (kind == "III" and len(terms) == 1):
        return _sequential(model.design)
    if kind == "III":
        return _type_three(model.design)
    raise ModelError(f"Found type {kind!r}; expected 'III' or 'I'.")


def _sequential(design: LmmDesign) -> dict[str, Array]:
    """Rows of the upper triangle of X, each scaled to 1 on the diagonal."""
    rows = np.asarray(np.linalg.qr(design.x)[1])
    rows = rows / np.diag(rows)[:, None]
    assign = np.array(design.coding.assign)
    return {
        term.name: rows[assign == i]
        for i, term in enumerate(design.coding.terms)
        if term.variables
    }


def _type_three(design: LmmDesign) -> dict[str, Array]:
    """Estimable functions of each term, freed from those of terms that contain it.

    Written on the saturated design (a parameter for every level): the functions of
    a term are made orthogonal to those of the terms that contain it, then read off
    at the parameters that are the model's own. The same basis as lmerTest's, as
    Satterthwaite's denominator df depend on it where there are several rows.
    """
    own, whole = design.coding, design.coding.saturated
    functions = _saturated_functions(design, whole)
    assign = np.array(own.assign)
    terms = list(enumerate(own.terms))
    for i, term in sorted(terms, key=lambda t: -len(t[1].variables)):
        above = [j for j, other in terms if _contains(own, other, term)]
        if above and term.variables:
            basis = functions[:, np.isin(assign, above)]
            mine = functions[:, assign == i]
            fitted = basis @ np.linalg.lstsq(basis, mine, rcond=None)[0]
            functions[:, assign == i] = mine - fitted
    places = [whole.names.index(name) for name in own.names]
    kept = functions[places]
    kept = np.where(np.abs(kept) < 1e-10 * np.abs(kept).max(), 0.0, kept)
    found = {t.name: kept[:, assign == i].T for i, t in terms if t.variables}
    return {name: rows[np.abs(rows).sum(axis=1) > 1e-8] for name, rows in found.items()}


def _saturated_functions(design: LmmDesign, whole: Coding) -> Array:
    """What each coefficient is on the saturated parameters, parameters x p."""
    q, r = np.linalg.qr(design.x)
    found = np.zeros((design.x.shape[1], len(whole.names)))
    for start in range(0, len(design.y), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        values = {name: own[rows] for name, own in design.values.items()}
        found += q[rows].T @ whole.matrix(values, n_rows=len(design.y[rows]))
    solved: Array = np.linalg.solve(r, found).T
    return solved


def _contains(coding: Coding, larger: CodedTerm, term: CodedTerm) -> bool:
    """Whether a term is contained in a larger one: the same numbers, more factors."""
    big, small = set(larger.variables), set(term.variables)
    numbers = big - set(coding.levels)
    return small < big and numbers == small - set(coding.levels)


def anova_table(model: FittedModel, *, kind: str, ddf: str | None) -> pl.DataFrame:
    """One row per fixed term: its F test.

    Columns: term, sum_sq and mean_sq (F times the residual variance, as lmerTest),
    num_df, den_df, statistic, p_value, df_method.

    Args:
        model: The fitted model.
        kind: ``"III"`` or ``"I"``.
        ddf: Method for the denominator.
    """
    hypotheses = term_contrasts(model, kind)
    if not hypotheses:
        raise ModelError("The fixed part has no term besides the intercept to test.")
    tests = model.joint_tests(list(hypotheses.values()), ddf=ddf)
    mean_square = pl.col("statistic") * model.engine.sigma**2
    return tests.select(
        pl.Series("term", list(hypotheses)),
        (mean_square * pl.col("num_df")).alias("sum_sq"),
        mean_square.alias("mean_sq"),
        pl.all(),
    )
