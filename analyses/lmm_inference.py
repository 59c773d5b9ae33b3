"""Tests of fixed effects: which degrees of freedom, and rows of contrasts.

Kenward-Roger is the default. Where it has no answer (plain likelihood) or would
need more memory than the limit, the default is Satterthwaite; the method stands in
every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t

from analyses.coding import Array
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import Fit
from analyses.lmm.kenward_roger import KenwardRoger, kenward_roger, memory_estimate
from analyses.lmm.satterthwaite import Satterthwaite, Wald, satterthwaite
from analyses.lmm_design import LmmDesign
from data_contracts.errors import ModelError

__all__ = ["DDF", "MEMORY_LIMIT", "FittedModel", "Inference", "RowTests", "f_p_value"]

DDF = ("kenward-roger", "satterthwaite", "z")
"""Names of the methods for denominator degrees of freedom."""

MEMORY_LIMIT = 2_000_000_000
"""Bytes that Kenward-Roger may take at its peak before Satterthwaite stands in."""


@dataclass(frozen=True, eq=False)
class RowTests:
    """Single contrasts, k each.

    Attributes:
        estimate: In the outcome's unit.
        std_error: Of the estimate.
        df: Degrees of freedom; infinite for z.
        statistic: t or z.
        p_value: Two-sided.
    """

    estimate: Array
    std_error: Array
    df: Array
    statistic: Array
    p_value: Array

    def half_widths(self, level: float) -> Array:
        """Halves of unadjusted confidence intervals."""
        tail = 0.5 - level / 2.0
        return np.asarray(self.std_error * student_t.isf(tail, self.df))


@dataclass(frozen=True, eq=False)
class Inference:
    """Fixed effects with one method for degrees of freedom.

    Attributes:
        method: One of ``DDF``.
        beta: Fixed effects, p.
        vcov: Their covariance by this method, p x p.
        source: What the degrees of freedom come from; None for z.
    """

    method: str
    beta: Array
    vcov: Array
    source: KenwardRoger | Satterthwaite | None

    def df(self, contrasts: Array) -> Array:
        """Degrees of freedom of contrasts, one per row."""
        if self.source is None:
            return np.full(len(contrasts), np.inf)
        return self.source.df(contrasts)

    def rows(self, contrasts: Array) -> RowTests:
        """Test single contrasts against 0.

        Args:
            contrasts: k x p.
        """
        estimate = contrasts @ self.beta
        variance = np.einsum("ki,ij,kj->k", contrasts, self.vcov, contrasts)
        std_error = np.sqrt(np.maximum(variance, 0.0))
        df = self.df(contrasts)
        statistic = np.divide(
            estimate, std_error, out=np.full(len(df), np.nan), where=std_error > 0.0
        )
        p_value = 2.0 * student_t.sf(np.abs(statistic), df)
        return RowTests(estimate, std_error, df, statistic, p_value)

    def f_test(self, contrasts: Array) -> Wald:
        """Test contrasts jointly; with z, chi-square over its df as F."""
        if self.source is not None:
            return self.source.f_test(contrasts)
        values, vectors = np.linalg.eigh(contrasts @ self.vcov @ contrasts.T)
        kept = values > 1e-10 * float(values[-1])
        scores = vectors[:, kept].T @ (contrasts @ self.beta)
        count = int(kept.sum())
        return Wald(float(np.sum(scores**2 / values[kept]) / count), count, np.inf)


def f_p_value(test: Wald) -> float:
    """Upper tail of F, chi-square where the denominator is infinite."""
    if np.isinf(test.df_den):
        return float(chi2.sf(test.statistic * test.df_num, test.df_num))
    return float(f_distribution.sf(test.statistic, test.df_num, test.df_den))


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A design, its fit, and the inference that was asked of it so far.

    Attributes:
        design: Rows, columns, groups and their names.
        engine: The engine's fit of the design's arrays.
    """

    design: LmmDesign
    engine: Fit
    _known: dict[str, Inference] = field(default_factory=dict, repr=False)

    def inference(self, ddf: str | None = None) -> Inference:
        """Inference by a method, computed once.

        Args:
            ddf: One of ``DDF``; None takes Kenward-Roger where the fit is REML and
                the memory estimate allows it, otherwise Satterthwaite.

        Raises:
            ModelError: An unknown method, or Kenward-Roger asked for where it has no
                answer.
        """
        method = self.method(ddf)
        if method not in self._known:
            self._known[method] = self._inferred(method)
        return self._known[method]

    def method(self, ddf: str | None) -> str:
        """The method that is asked for, or the default."""
        method = self.default_ddf if ddf is None else ddf.lower()
        if method not in DDF:
            raise ModelError(
                f"Found ddf {ddf!r}; expected {', '.join(map(repr, DDF))}, or None for "
                "Kenward-Roger where it is possible."
            )
        return method

    @property
    def default_ddf(self) -> str:
        """The method when none is asked for."""
        possible = self.engine.reml and memory_estimate(self.engine) <= MEMORY_LIMIT
        return "kenward-roger" if possible else "satterthwaite"

    def _inferred(self, method: str) -> Inference:
        fit = self.engine
        source: KenwardRoger | Satterthwaite | None = None
        try:
            if method == "kenward-roger":
                source = kenward_roger(fit, memory_limit=MEMORY_LIMIT)
            elif method == "satterthwaite":
                source = satterthwaite(fit)
        except LmmError as error:
            raise ModelError(str(error)) from error
        vcov = fit.vcov if source is None else source.vcov
        return Inference(method, fit.beta, vcov, source)

    def beside(self, contrasts: Array, ddf: str | None) -> pl.Series | None:
        """Kenward-Roger df to stand beside Satterthwaite's on a singular fit.

        There Satterthwaite's df of a contrast between communities can be several
        times too large (130 where Kenward-Roger finds 9), so it never stands alone.
        None where it is not needed or not possible.
        """
        if not self._stands_beside(ddf):
            return None
        df = self.inference("kenward-roger").df(contrasts)
        return pl.Series("df_kenward_roger", df)

    def _stands_beside(self, ddf: str | None) -> bool:
        needed = self.method(ddf) == "satterthwaite" and self.engine.is_singular
        return needed and self.default_ddf == "kenward-roger"

    def joint_tests(
        self, hypotheses: Sequence[Array], *, ddf: str | None
    ) -> pl.DataFrame:
        """F tests, each that all rows of its contrasts are 0.

        Columns: num_df, den_df, statistic, p_value, df_method; on a singular fit
        with Satterthwaite's df also den_df_kenward_roger.
        """
        inference = self.inference(ddf)
        tests = [inference.f_test(rows) for rows in hypotheses]
        frame = pl.DataFrame(
            {
                "num_df": [t.df_num for t in tests],
                "den_df": [float(t.df_den) for t in tests],
                "statistic": [t.statistic for t in tests],
                "p_value": [f_p_value(t) for t in tests],
                "df_method": [inference.method] * len(tests),
            }
        )
        if not self._stands_beside(ddf):
            return frame
        other = self.inference("kenward-roger")
        beside = [float(other.f_test(rows).df_den) for rows in hypotheses]
        return frame.with_columns(den_df_kenward_roger=pl.Series(beside))

    def tests(
        self, contrasts: Array, *, ddf: str | None, level: float, terms: Sequence[str]
    ) -> pl.DataFrame:
        """Rows of contrasts with unadjusted intervals."""
        check_level(level)
        inference = self.inference(ddf)
        found = inference.rows(contrasts)
        half = found.half_widths(level)
        frame = pl.DataFrame(
            {
                "term": list(terms),
                "estimate": found.estimate,
                "std_error": found.std_error,
                "df": found.df,
                "statistic": found.statistic,
                "p_value": found.p_value,
                "conf_low": found.estimate - half,
                "conf_high": found.estimate + half,
                "df_method": [inference.method] * len(half),
            }
        )
        beside = self.beside(contrasts, ddf)
        return frame if beside is None else frame.with_columns(beside)


def check_level(level: float) -> None:
    """Refuse a confidence level that is none."""
    if not 0.0 < level < 1.0:
        raise ModelError(
            f"Found the confidence level {level}; expected one between 0 and 1, such "
            "as 0.95."
        )
