"""The fitted linear mixed model as notebooks and the pipeline see it.

A formula and a frame go in; here the parts are put together and every answer gets
its names. Numbers are the engine's (``analyses.lmm``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from analyses import lmm_compare
from analyses.coding import Array
from analyses.effect_sizes import RSquared, icc, r_squared, standardise
from analyses.formula import parse_formula
from analyses.lmm.bootstrap import Bootstrap, bootstrap, cluster_bootstrap
from analyses.lmm.effects import RandomEffects, random_effects
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import Refits, fit_arrays, refit
from analyses.lmm.influence import leave_one_out
from analyses.lmm.optimise import Record
from analyses.lmm.profile import profile
from analyses.lmm.rows import row_diagnostics
from analyses.lmm.zero_variance import VarianceTest, variance_test
from analyses.lmm_anova import anova_table
from analyses.lmm_columns import Frame
from analyses.lmm_design import make_lmm_design
from analyses.lmm_inference import FittedModel, check_level
from analyses.lmm_predict import predicted
from analyses.lmm_summary import notes, summary_text
from analyses.lmm_tables import (
    augmented,
    bootstrap_table,
    glance_table,
    influence_table,
    profile_table,
    random_effects_table,
    variance_table,
)
from analyses.marginal import MarginalMeans, marginal_means
from data_contracts.errors import ModelError

__all__ = ["BootstrapFits", "LmmFit", "fit_lmm"]


@contextmanager
def _refusals() -> Iterator[None]:
    """The engine's refusals as the project's."""
    try:
        yield
    except LmmError as error:
        raise ModelError(str(error)) from error


@dataclass(frozen=True, eq=False)
class BootstrapFits:
    """Bootstrap fits of a model.

    Attributes:
        model: The model drawn from.
        draws: Fits to the drawn data.
    """

    model: FittedModel
    draws: Bootstrap

    def tidy(self, *, level: float = 0.95) -> pl.DataFrame:
        """Percentile intervals of fixed effects, SDs, correlations and sigma."""
        check_level(level)
        return bootstrap_table(self.model, self.draws, level)


@dataclass(frozen=True, eq=False)
class LmmFit(FittedModel):
    """A fitted linear mixed model.

    Attributes:
        design: Formula, rows used, levels, groups.
        engine: The engine's fit.
    """

    _effects: list[tuple[RandomEffects, ...]] = field(default_factory=list, repr=False)

    @property
    def formula(self) -> str:
        """The model, random terms expanded."""
        return self.design.formula

    @property
    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """Levels used by factor; the first is the reference."""
        return self.design.levels

    @property
    def n_obs(self) -> int:
        """Rows used."""
        return self.engine.n_obs

    @property
    def n_dropped(self) -> int:
        """Rows left out because a column that the model uses is missing."""
        return self.design.n_dropped

    @property
    def is_reml(self) -> bool:
        """Whether the fit is by restricted likelihood."""
        return self.engine.reml

    @property
    def criterion(self) -> float:
        """Minus twice the (restricted) log-likelihood."""
        return self.engine.criterion

    @property
    def log_likelihood(self) -> float:
        """The log-likelihood, restricted in REML."""
        return self.engine.log_likelihood

    @property
    def sigma(self) -> float:
        """Residual standard deviation, at weight 1."""
        return self.engine.sigma

    @property
    def theta(self) -> Array:
        """Relative covariance parameters in lme4's order."""
        return self.engine.theta

    @property
    def beta(self) -> Array:
        """Fixed effects."""
        return self.engine.beta

    @property
    def is_singular(self) -> bool:
        """Whether a variance is 0, or a correlation 1."""
        return self.engine.is_singular

    @property
    def record(self) -> Record:
        """How the fit went: evaluations, why it stopped, what is at 0."""
        return self.engine.record

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader must know, and what to try."""
        return notes(self)

    def tidy(self, ddf: str | None = None, *, level: float = 0.95) -> pl.DataFrame:
        """Fixed effects: estimate, standard error, df, test and interval.

        Columns: term, estimate, std_error, df, statistic, p_value, conf_low,
        conf_high, df_method; on a singular fit with Satterthwaite's df also
        df_kenward_roger.

        Args:
            ddf: ``"kenward-roger"``, ``"satterthwaite"`` or ``"z"``; None takes
                Kenward-Roger, or Satterthwaite where that is not possible.
            level: Of the intervals.
        """
        identity = np.eye(len(self.beta))
        names = self.design.coding.names
        return self.tests(identity, ddf=ddf, level=level, terms=names)

    def vcov(self, ddf: str | None = None) -> Array:
        """Covariance of the fixed effects, p x p; Kenward-Roger's is adjusted."""
        return self.inference(ddf).vcov.copy()

    def variance_components(self) -> pl.DataFrame:
        """Variances, covariances and the residual: group, term1, term2, variance, sd.

        Where term2 is not null, the last two are covariance and correlation.
        """
        return variance_table(self)

    def random_effects(self) -> pl.DataFrame:
        """Predicted effects: group, level, term, estimate, std_error (conditional)."""
        return random_effects_table(self, self._blups())

    def glance(self) -> pl.DataFrame:
        """One row: nobs, sigma, logLik, criterion, AIC, BIC, AICc and more."""
        return glance_table(self)

    def augment(self) -> pl.DataFrame:
        """One row per row used: fitted, residual, leverage; ``row`` is its place."""
        return augmented(self, row_diagnostics(self.engine))

    def summary(self, ddf: str | None = None, *, level: float = 0.95) -> str:
        """The summary as text, in the layout of lme4 and lmerTest."""
        tests = self.tidy(ddf=ddf, level=level)
        return summary_text(self, tests=tests, ddf=ddf, level=level)

    def marginal_means(
        self,
        specs: str | Sequence[str],
        *,
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Sequence[float]] | None = None,
        ddf: str | None = None,
    ) -> MarginalMeans:
        """Estimated marginal means; see ``marginal.marginal_means``."""
        return marginal_means(self, specs, by=by, at=at, ddf=ddf)

    def anova(self, *, type: str = "III", ddf: str | None = None) -> pl.DataFrame:  # noqa: A002
        """F tests of whole terms, type ``"III"`` or ``"I"``."""
        return anova_table(self, kind=type, ddf=ddf)

    def compare(
        self, other: FittedModel, *, n_bootstrap: int = 0, seed: int = 1
    ) -> lmm_compare.Comparison:
        """Likelihood ratio test against another fit; see ``lmm_compare.compare``."""
        return lmm_compare.compare(self, other, n_bootstrap=n_bootstrap, seed=seed)

    def icc(self) -> pl.DataFrame:
        """Share of variance between the groups of each factor."""
        return icc(self)

    def r2(self) -> RSquared:
        """Nakagawa's marginal and conditional R2."""
        return r_squared(self)

    def standardised(
        self, *, ddf: str | None = None, level: float = 0.95
    ) -> pl.DataFrame:
        """Fixed effects over the total SD, but for the intercept, with intervals."""
        check_level(level)
        names = self.design.coding.names
        kept = [j for j, name in enumerate(names) if name != "(Intercept)"]
        rows = np.eye(len(names))[kept]
        frame = standardise(self, self.inference(ddf), rows, level=level)
        return pl.DataFrame({"term": [names[j] for j in kept]}).hstack(frame)

    def predict(self, frame: Frame, *, level: str = "population") -> pl.DataFrame:
        """Predict other rows at ``"population"`` or ``"group"`` level."""
        return predicted(self, frame, level=level, effects=self._blups())

    def test_variance(
        self, group: str, *, n: int | None = None, seed: int = 1
    ) -> VarianceTest:
        """Test that a grouping factor's variance is 0, never by plain chi-square.

        Args:
            group: A grouping factor, such as ``"LC"``, or where it has several
                terms one of them, such as ``"(0 + time | student)"``.
            n: Draws from the null.
            seed: Of the draws.
        """
        random = self.design.random
        places = [i for i, r in enumerate(random) if group in {r.name, str(r.spec)}]
        if len(places) != 1:
            known = ", ".join(str(r.spec) for r in random)
            raise ModelError(
                f"{group!r} names {len(places)} random terms; expected one of {known}."
            )
        with _refusals():
            return variance_test(self.engine, places[0], n=n, seed=seed)

    def influence(self, group: str) -> pl.DataFrame:
        """Fixed effects without each group of a factor in turn."""
        parts = [r for r in self.design.random if r.name == group]
        with _refusals():
            found = leave_one_out(self.engine, group)
        return influence_table(self, found, parts[0].groups.labels)

    def profile(self, *, level: float = 0.95) -> pl.DataFrame:
        """Profile intervals of SDs, correlations and sigma (plain likelihood)."""
        check_level(level)
        with _refusals():
            return profile_table(self, profile(self.engine, level=level))

    def bootstrap(
        self, n: int = 1000, *, seed: int = 1, cluster: str | None = None
    ) -> BootstrapFits:
        """Parametric bootstrap, or one that draws whole groups of a factor.

        Args:
            n: Draws.
            seed: Of the draws.
            cluster: Factor whose groups are drawn with replacement.
        """
        if n < 1:
            raise ModelError(f"Found {n} bootstrap draws; expected 1 or more.")
        with _refusals():
            if cluster is None:
                return BootstrapFits(self, bootstrap(self.engine, n=n, seed=seed))
            drawn = cluster_bootstrap(self.engine, cluster, n=n, seed=seed)
            return BootstrapFits(self, drawn)

    def refit(self, responses: Array | Sequence[float]) -> Refits:
        """Fit k other outcomes on the same rows in one pass.

        Args:
            responses: n x k, n being the rows used (or those of the frame given, of
                which the rows used are taken).

        Returns:
            theta, sigma, beta, std_errors, criterion, is_singular, converged; k each.
        """
        values = np.asarray(responses, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values
        index = self.design.index
        if values.ndim == 2 and len(values) == self.n_obs + self.n_dropped:
            values = values[index]
        if values.ndim != 2 or len(values) != self.n_obs:
            raise ModelError(
                f"Found responses of shape {values.shape}; expected {self.n_obs} rows, "
                "one column per response."
            )
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise ModelError(
                f"Found {bad} responses that are not finite numbers; mend them first."
            )
        with _refusals():
            return refit(self.engine, values)

    def _blups(self) -> tuple[RandomEffects, ...]:
        if not self._effects:
            self._effects.append(random_effects(self.engine))
        return self._effects[0]


def fit_lmm(
    formula: str,
    frame: Frame,
    *,
    reml: bool = True,
    weights: str | None = None,
    levels: Mapping[str, Sequence[object]] | None = None,
) -> LmmFit:
    """Fit a linear mixed model in lme4's notation.

    Rows in which a used column is missing (null; in pandas NaN too) are left out
    once and counted. Text, booleans and categories are factors with treatment
    coding, numbers stay numbers. The order of levels is the one given, else that of
    ``pl.Enum`` or of pandas' categories, else sorted; the first is the reference.

    Args:
        formula: Such as ``score ~ year * format + (1 + time | student) + (1 | LC)``.
        frame: polars or pandas.
        reml: Restricted likelihood, or plain.
        weights: Column of prior weights; Var(e_i) = sigma^2 / w_i.
        levels: Levels by factor, the reference first.

    Returns:
        The fit.

    Raises:
        ModelError: The model makes no sense for these data; the message says why.

    Source:
        Checked against lme4, lmerTest, pbkrtest and emmeans.

    Examples:
        >>> frame = pl.DataFrame(
        ...     {
        ...         "batch": [b for b in "ABCDEF" for _ in range(3)],
        ...         "gain": [float(3 * (i // 3 % 2) + i % 4) for i in range(18)],
        ...     }
        ... )
        >>> fit = fit_lmm("gain ~ 1 + (1 | batch)", frame)
        >>> fit.tidy(ddf="kenward-roger")["df"].round(6).to_list()
        [5.0]
    """
    spec = parse_formula(formula)
    design = make_lmm_design(spec, frame, weights=weights, levels=levels)
    with _refusals():
        engine = fit_arrays(
            design.y,
            design.x,
            design.terms,
            reml=reml,
            weights=design.weights,
            x_names=design.coding.names,
        )
    return LmmFit(design, engine)
