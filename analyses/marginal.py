"""Estimated marginal means over a reference grid, and contrasts of them.

The grid holds every combination of the factors' levels, numbers at their mean;
factors that are not asked about count with equal weights, so that a shift in who
answers moves no mean. As emmeans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyses.adjust import Adjusted, Family, adjust
from analyses.coding import Array
from analyses.effect_sizes import standardise
from analyses.lmm_inference import FittedModel, Inference, check_level
from analyses.mean_contrasts import NamedContrasts, named_contrasts
from data_contracts.errors import ModelError

__all__ = ["Contrasts", "MarginalMeans", "marginal_means"]

_LARGEST_GRID = 200_000


@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """Means in cells of a grid.

    Attributes:
        model: The fitted model.
        variables: Columns that make up a cell, ``by`` first.
        by: Those within whose combinations contrasts are made.
        cells: Levels of each mean, in the order of ``variables``.
        weights: Coefficients of each mean, k x p.
        ddf: Method asked for, or None.
    """

    model: FittedModel
    variables: tuple[str, ...]
    by: tuple[str, ...]
    cells: tuple[tuple[object, ...], ...]
    weights: Array
    ddf: str | None

    def tidy(self, *, level: float = 0.95) -> pl.DataFrame:
        """One row per mean, tested against 0, not adjusted."""
        labels = {v: [c[i] for c in self.cells] for i, v in enumerate(self.variables)}
        families = [list(range(len(self.cells)))]
        tests = _tests(self, self.weights, families, [None], "none", level)
        return pl.DataFrame(labels).hstack(tests)

    def contrasts(
        self,
        method: str | Array | Mapping[str, Sequence[float]] = "pairwise",
        *,
        adjust: str = "tukey",
        family: str = "by",
        reference: int = 0,
    ) -> Contrasts:
        """Contrasts of the means, within each combination of ``by``.

        Args:
            method: ``"pairwise"``, ``"revpairwise"``, ``"trt.vs.ctrl"``, ``"eff"``
                (against the mean of all), ``"consec"``, ``"poly"`` (linear,
                quadratic, ...), or coefficients: one row per contrast, one column
                per mean, or a mapping of names to rows.
            adjust: One of ``adjust.ADJUSTMENTS``; tukey for pairwise alone.
            family: ``"by"`` adjusts within each combination of ``by``, ``"all"``
                over all contrasts.
            reference: For ``"trt.vs.ctrl"``, place of the control.

        Raises:
            ModelError: An unknown method, coefficients of another shape, or fewer
                than two means to compare.
        """
        size = len({c[len(self.by) :] for c in self.cells})
        names = [" ".join(map(str, c[len(self.by) :])) for c in self.cells[:size]]
        named = named_contrasts(method, names, reference=reference)
        return Contrasts(self, named, adjust, family)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Contrasts of marginal means, and how they are adjusted.

    Attributes:
        means: The means.
        named: Coefficients within one combination of ``by``, with names.
        adjustment: How p values and intervals are adjusted.
        family: Whether ``"by"`` or ``"all"`` are judged together.
    """

    means: MarginalMeans
    named: NamedContrasts
    adjustment: str
    family: str

    @property
    def weights(self) -> Array:
        """Coefficients on the fixed effects, k x p, combination by combination."""
        size = self.named.matrix.shape[1]
        blocks = self.means.weights.reshape(-1, size, self.means.weights.shape[1])
        return np.concatenate([self.named.matrix @ block for block in blocks])

    def tidy(self, *, level: float = 0.95) -> pl.DataFrame:
        """One row per contrast.

        Columns: those of ``by``, contrast, estimate, std_error, df, df_method,
        statistic, p_value, p_adjusted, adjustment, interval (what the limits hold
        for), conf_low, conf_high.
        """
        families, sizes = self._families()
        tests = _tests(
            self.means, self.weights, families, sizes, self.adjustment, level
        )
        return self._labels().hstack(tests)

    def standardised(self, *, level: float = 0.95) -> pl.DataFrame:
        """The contrasts over the total SD, with unadjusted intervals."""
        check_level(level)
        inference = self.means.model.inference(self.means.ddf)
        frame = standardise(self.means.model, inference, self.weights, level=level)
        return self._labels().hstack(frame)

    def joint(self) -> pl.DataFrame:
        """One F test per combination of ``by`` that all its contrasts are 0."""
        k = len(self.named.names)
        weights = self.weights
        hypotheses = [weights[s : s + k] for s in range(0, len(weights), k)]
        tests = self.means.model.joint_tests(hypotheses, ddf=self.means.ddf)
        labels = self._labels().drop("contrast")[::k]
        return labels.hstack(tests) if labels.width else tests

    def _labels(self) -> pl.DataFrame:
        size, k = self.named.matrix.shape[1], len(self.named.names)
        cells = [c for c in self.means.cells[::size] for _ in range(k)]
        labels = {v: [c[i] for c in cells] for i, v in enumerate(self.means.by)}
        names = list(self.named.names) * (len(self.means.cells) // size)
        return pl.DataFrame({**labels, "contrast": names})

    def _families(self) -> tuple[list[list[int]], list[int | None]]:
        n, k = len(self.weights), len(self.named.names)
        if self.family not in {"by", "all"}:
            raise ModelError(f"Found family {self.family!r}; expected 'by' or 'all'.")
        if self.family == "all" and n > k:
            return [list(range(n))], [None]
        places = [list(range(s, s + k)) for s in range(0, n, k)]
        return places, [self.named.n_means] * len(places)


def marginal_means(
    model: FittedModel,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Sequence[float]] | None = None,
    ddf: str | None = None,
) -> MarginalMeans:
    """Marginal means of a model.

    Every mean is estimable: a model whose fixed columns are not of full rank, such
    as one with an empty cell in an interaction, is refused before.

    Args:
        model: The fitted model.
        specs: Factors, or numbers named in ``at``, that make up the cells.
        by: Factors within whose combinations contrasts are made.
        at: Values of numbers to hold instead of their mean.
        ddf: Method for degrees of freedom.

    Raises:
        ModelError: Columns that are not in the fixed part.
    """
    asked, within = _names(specs), _names(by)
    variables = (*within, *(v for v in asked if v not in within))
    coding = model.design.coding
    held = {c: list(v) for c, v in (at or {}).items()}
    unknown = [v for v in (*variables, *held) if v not in coding.variables]
    if unknown or not asked:
        found = ", ".join(unknown) or "nothing"
        raise ModelError(
            f"Marginal means of {found} cannot be taken; the fixed part has "
            f"{', '.join(coding.variables) or 'no columns'}."
        )
    _refuse_held_factors(held, model)
    points: dict[str, Sequence[object]] = {
        v: coding.levels[v] if v in coding.levels else held.get(v, [_mean(model, v)])
        for v in coding.variables
    }
    _refuse_large(points)
    rest = [v for v in coding.variables if v not in variables]
    order = [*variables, *rest]
    shape = [len(points[v]) for v in order]
    places = np.indices(shape).reshape(len(shape), -1)
    values: dict[str, NDArray[np.generic]] = {}
    for v, own in zip(order, places, strict=True):
        numbers = np.asarray(points[v], dtype=object)
        is_factor = v in coding.levels
        values[v] = own if is_factor else numbers[own].astype(np.float64)
    grid = coding.matrix(values, n_rows=places.shape[1])
    cells = tuple(product(*(points[v] for v in variables)))
    weights = grid.reshape(len(cells), -1, grid.shape[1]).mean(axis=1)
    return MarginalMeans(model, variables, tuple(within), cells, weights, ddf)


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))


def _mean(model: FittedModel, variable: str) -> float:
    return model.design.numbers[variable]


def _refuse_held_factors(
    held: Mapping[str, Sequence[float]], model: FittedModel
) -> None:
    factors = [c for c in held if c in model.design.coding.levels]
    if factors or not all(len(v) for v in held.values()):
        raise ModelError(
            "Values to hold are given for numbers of the fixed part, one or more each; "
            f"found {', '.join(factors) or 'none'}."
        )


def _refuse_large(points: Mapping[str, Sequence[object]]) -> None:
    size = int(np.prod([len(v) for v in points.values()], dtype=np.float64))
    if size > _LARGEST_GRID:
        raise ModelError(
            f"The reference grid would have {size} cells, more than {_LARGEST_GRID}; "
            "use fewer factors in the fixed part."
        )


def _tests(
    means: MarginalMeans,
    weights: Array,
    families: Sequence[Sequence[int]],
    n_means: Sequence[int | None],
    method: str,
    level: float,
) -> pl.DataFrame:
    check_level(level)
    inference = means.model.inference(means.ddf)
    found = inference.rows(weights)
    p, critical = np.empty(len(weights)), np.empty(len(weights))
    interval, text = "", ""
    for places, size in zip(families, n_means, strict=True):
        at = np.asarray(places)
        part = _adjusted(inference, weights[at], method, size, level)
        p[at], critical[at], interval = part.p_value, part.critical, part.interval
        text = method if method == "none" else f"{method} over {len(places)}"
    half = critical * found.std_error
    n = len(weights)
    frame = pl.DataFrame(
        {
            "estimate": found.estimate,
            "std_error": found.std_error,
            "df": found.df,
            "df_method": [inference.method] * n,
            "statistic": found.statistic,
            "p_value": found.p_value,
            "p_adjusted": p,
            "adjustment": [text] * n,
            "interval": [interval] * n,
            "conf_low": found.estimate - half,
            "conf_high": found.estimate + half,
        }
    )
    beside = means.model.beside(weights, means.ddf)
    return frame if beside is None else frame.with_columns(beside)


def _adjusted(
    inference: Inference, weights: Array, method: str, n_means: int | None, level: float
) -> Adjusted:
    found = inference.rows(weights)
    covariance = weights @ inference.vcov @ weights.T
    size = np.where(found.std_error > 0.0, found.std_error, 1.0)
    family = Family(
        statistic=found.statistic,
        df=found.df,
        p_value=found.p_value,
        correlation=covariance / np.outer(size, size),
        n_means=n_means,
    )
    return adjust(family, method, level=level)
