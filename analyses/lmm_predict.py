"""Predictions for other rows, for a whole population or for known groups."""

from __future__ import annotations

import numpy as np
import polars as pl

from analyses.lmm.effects import RandomEffects
from analyses.lmm_columns import Frame, Ints, grouping
from analyses.lmm_design import RandomPart, new_rows
from analyses.lmm_inference import FittedModel
from data_contracts.errors import ModelError

__all__ = ["predicted"]


def predicted(
    model: FittedModel,
    frame: Frame,
    *,
    level: str,
    effects: tuple[RandomEffects, ...],
) -> pl.DataFrame:
    """Predict the outcome of rows.

    Args:
        model: The fitted model.
        frame: Rows with the columns of the formula but for the outcome.
        level: ``"population"`` (fixed part alone) or ``"group"`` (with the groups'
            effects; a group that the model has not seen counts as an average one).
        effects: Effects of each random term.

    Returns:
        One row per row given. Population: estimate and its std_error. Group:
        estimate and n_new_groups, how many of its groups were not seen. Null where
        a column is missing.
    """
    if level not in {"population", "group"}:
        raise ModelError(f"Found level {level!r}; expected 'population' or 'group'.")
    with_groups = level == "group"
    data, complete, values = new_rows(model.design, frame, groups=with_groups)
    n = len(complete)
    x = model.design.coding.matrix(values, n_rows=n)
    estimate = x @ model.engine.beta
    if with_groups:
        unseen = np.zeros(n, dtype=np.int64)
        kept = np.flatnonzero(complete)
        for part, own in zip(model.design.random, effects, strict=True):
            z = part.coding.matrix(values, n_rows=n)[kept]
            codes = _codes(part, data[kept.tolist()]) if len(kept) else kept
            known = codes >= 0
            blups = np.where(known[:, None], own.estimate[codes], 0.0)
            estimate[kept] += np.einsum("na,na->n", z, blups)
            unseen[kept] += ~known
        extra = pl.Series("n_new_groups", unseen)
    else:
        variance = np.einsum("ni,ij,nj->n", x, model.engine.vcov, x)
        extra = pl.Series("std_error", np.sqrt(np.maximum(variance, 0.0)))
    out = pl.DataFrame([pl.Series("estimate", estimate), extra])
    whole = pl.Series(complete)
    return out.select(pl.when(whole).then(pl.all()))


def _codes(part: RandomPart, data: pl.DataFrame) -> Ints:
    """Place of each row's group among the model's; -1 where it is none of them."""
    places = {label: i for i, label in enumerate(part.groups.labels)}
    found = grouping(data, part.spec.group)
    own = np.array([places.get(label, -1) for label in found.labels], dtype=np.int64)
    return own[found.codes]
