"""The door to models: formula and frame in, result rows with cell counts out.

``fit_lmm`` is the linear mixed model of ``analyses.lmm``, for notebooks and for
whoever wants the fit itself.

Which engine stands behind the door is this module's own business; callers see
``OutcomeFit``: the project's mixed-model engine (``mixed_effects``) where the formula
has random terms that the data can carry, least squares (``ols``) otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from analyses.array_fit import Array, ArrayFit
from analyses.contrasts import Difference, half_width, two_sided
from analyses.design import Cell, Design, build_design
from analyses.formula import ModelSpec
from analyses.frames import ModelFrame
from analyses.lmm_fit import LmmFit, fit_lmm
from analyses.mixed_effects import fit_mixed
from analyses.ols import fit_ols
from data_contracts.columns import COLUMNS
from data_contracts.errors import ModelError
from data_contracts.study import DfMethod
from data_contracts.tables import TABLES

__all__ = ["LmmFit", "OutcomeFit", "fit_lmm", "fit_outcome"]


@dataclass(frozen=True)
class OutcomeFit:
    """A fitted model of one outcome.

    Its methods return rows of the result tables without the columns
    ``analysis_year``, ``outcome`` and ``model``, which the caller knows. Every row
    carries the distinct people behind it.

    Attributes:
        design: Complete rows and their coding; ``design.spec`` is the formula as
            fitted, which can be shorter than the one declared.
        arrays: What the engine found.
        notes: Sentences that a reader must know: what was left out and why.
    """

    design: Design
    arrays: ArrayFit
    notes: tuple[str, ...]

    def coefficients(self) -> pl.DataFrame:
        """Fixed effects, in the units of the outcome (table ``estimate``).

        The people of a coefficient are those at its level; of the intercept and of
        a number, everybody.
        """
        design, fit = self.design, self.arrays
        rows = [
            _estimate_row(
                quantity="coefficient",
                by="fixed",
                level=term,
                weights=np.eye(len(fit.beta))[j],
                fit=fit,
                tested=True,
                people=design.rows.filter(pl.Series(design.behind[:, j])),
            )
            for j, term in enumerate(design.terms)
        ]
        return _estimate_frame(rows)

    def marginal_means(self) -> pl.DataFrame:
        """Means of every factor and of every two-way interaction in the formula.

        Averaged with equal weights over the levels of the other factors, numbers at
        their mean (table ``estimate``).
        """
        design, fit = self.design, self.arrays
        rows = [
            _estimate_row(
                quantity="marginal_mean",
                by=":".join(margin),
                level=" : ".join(cell.levels),
                weights=cell.weights,
                fit=fit,
                tested=False,
                people=_in_cell(design.rows, margin=margin, cell=cell),
            )
            for margin in design.margins()
            for cell in design.cells(margin)
        ]
        return _estimate_frame(rows)

    def differences(self, factor: str) -> tuple[Difference, ...]:
        """All pairwise differences of a factor's marginal means, later minus earlier.

        Args:
            factor: A factor of the fixed part.

        Raises:
            KeyError: If the fitted formula has no such factor.
        """
        levels = self.design.factors[factor]
        return tuple(
            self.difference(factor, level=later, reference=earlier)
            for earlier, later in combinations(levels, 2)
        )

    def difference(self, factor: str, *, level: str, reference: str) -> Difference:
        """One difference between two marginal means of a factor.

        Raises:
            KeyError: If the fitted model lacks the factor or one of the levels.
        """
        cells = {c.levels[0]: c for c in self.design.cells((factor,))}
        weights = cells[level].weights - cells[reference].weights
        return Difference(
            by=factor,
            level=level,
            reference=reference,
            estimate=float(weights @ self.arrays.beta),
            std_error=_standard_error(weights, self.arrays.covariance),
            df=float(self.arrays.df_of(weights)[0]),
            df_method=self.arrays.df_method,
            n_people=_n_people(self.design.rows, factor, level),
            n_people_reference=_n_people(self.design.rows, factor, reference),
        )

    def variance_components(self) -> pl.DataFrame:
        """Variances with their share of the total (table ``variance_component``).

        The variance of a slope has no share: its group's averaged variance holds it.
        Intervals are of the standard deviation, by profile likelihood.
        """
        parts = self.arrays.components
        total = sum(c.variance for c in parts if c.in_total)
        n_people = self.design.rows["student"].n_unique()
        columns = {
            "group": [c.group for c in parts],
            "variance": [c.variance for c in parts],
            "sd": [float(np.sqrt(c.variance)) for c in parts],
            "conf_low": [c.sd_interval[0] if c.sd_interval else None for c in parts],
            "conf_high": [c.sd_interval[1] if c.sd_interval else None for c in parts],
            "share": [c.variance / total if c.in_total else None for c in parts],
            "n_levels": [c.n_levels for c in parts],
            "n_people": [n_people] * len(parts),
        }
        return pl.DataFrame(columns, schema={c: COLUMNS[c].dtype for c in columns})

    def record(self) -> pl.DataFrame:
        """What was fitted, on whom and how it went (one row of the table ``fit``)."""
        design, fit = self.design, self.arrays
        columns = {
            "formula": f"{design.outcome} ~ {design.spec}",
            "engine": fit.engine,
            "n_people": design.rows["student"].n_unique(),
            "n_answers": design.rows.height,
            "n_communities": _n_communities(design.rows),
            "n_dropped": design.n_dropped,
            "df": fit.residual_df,
            "converged": fit.converged,
            "is_singular": fit.is_singular,
            "log_likelihood": fit.log_likelihood,
            "note": " ".join(self.notes),
        }
        schema = {c: COLUMNS[c].dtype for c in columns}
        return pl.DataFrame([columns], schema=schema)


def fit_outcome(
    spec: ModelSpec,
    frame: ModelFrame,
    *,
    outcome: str,
    ddf: DfMethod = "kenward-roger",
) -> OutcomeFit:
    """Fit a model to one outcome.

    Terms that these data cannot carry are left out, with the reason in the notes:
    the academic year where there is only one, terms of students where persons are
    not linked or nobody answered twice, terms of groups that are not known here,
    slopes whose column is not known. Without random terms it is least squares with
    residual df. Responses with a gap in a needed column are left out once and
    counted; likelihood-based estimates on the remaining waves assume that answers
    are missing at random.

    Args:
        spec: Parsed formula.
        frame: Model frame.
        outcome: Outcome column.
        ddf: How degrees of freedom are found.

    Returns:
        The fit.

    Raises:
        ModelError: If the question cannot be answered with these data; see
            ``design.build_design`` for the fixed part. Besides: a group with one
            level or with as many levels as responses, two groups that cannot be
            told apart, no variation left around the fixed part.
    """
    fitted, notes = _what_data_carry(spec, frame, outcome=outcome)
    design = build_design(fitted, frame, outcome=outcome)
    _refuse_perfect(design)
    _refuse_groups(design)
    arrays = (
        fit_mixed(design, ddf=ddf) if fitted.random else fit_ols(design.y, design.x)
    )
    notes += [*arrays.notes, *_averaging(design)]
    return OutcomeFit(design=design, arrays=arrays, notes=tuple(notes))


def _what_data_carry(
    spec: ModelSpec, frame: ModelFrame, *, outcome: str
) -> tuple[ModelSpec, list[str]]:
    """The formula without terms that these data cannot carry, and why."""
    notes: list[str] = []
    columns = [*spec.fixed_columns, *(c for t in spec.random for c in t.columns)]
    if any(c not in frame.rows.columns for c in (outcome, *columns)):
        return spec, notes  # refused with the other column mistakes
    rows = frame.rows.drop_nulls(outcome)
    unknown = [c for c in rows.columns if rows[c].null_count() == rows.height]
    for term in spec.random:
        if gone := [c for c in term.group if c in unknown]:
            notes.append(f"No {gone[0]} is known here: {term} is left out.")
            spec = spec.without_random(term.group_name)
        elif lost := [c for c in term.slopes if set(c.split(":")) & set(unknown)]:
            notes.append(f"No {lost[0]} is known here: {term} has no slope.")
            spec = spec.without_slopes(term.group_name)
    needed = [*spec.fixed_columns, *(c for t in spec.random for c in t.columns)]
    rows = rows.drop_nulls(needed)
    years = rows["academic_year"].unique().to_list()
    if "academic_year" in spec.fixed_columns and len(years) == 1:
        spec = spec.without_fixed("academic_year")
        notes.append(
            f"{years[0]} is the only academic year with this outcome: academic_year "
            "is left out."
        )
    repeated = rows.height - rows["student"].n_unique()
    of_students = [t for t in spec.random if t.group_name == "student"]
    named = ", ".join(str(t) for t in of_students)
    if not frame.is_linked:
        several = rows["wave"].n_unique() > 1
        notes.append(
            "There is no person key, so nobody can be followed from wave to wave and "
            "every response counts as a person"
            + ("; intervals are too short if people answered twice" if several else "")
            + (f": {named} is left out." if of_students else ".")
        )
        spec = spec.without_random("student")
    elif of_students and not repeated:
        spec = spec.without_random("student")
        notes.append(f"Nobody has this outcome twice: {named} is left out.")
    elif not of_students and repeated:
        notes.append(
            "People answered more than once and the formula has no (1 | student): "
            "intervals are too short."
        )
    return spec, notes


def _refuse_groups(design: Design) -> None:
    """Refuse groups whose variance, or whose difference, cannot be estimated."""
    levels = {
        t.group_name: design.rows.select(t.group).n_unique()
        for t in design.spec.random
        if t.intercept
    }
    for group, n in levels.items():
        if n in {1, design.rows.height}:
            found = "one level" if n == 1 else "as many levels as responses"
            raise ModelError(
                f"The model of {design.outcome} cannot be fitted: {group} has {found}, "
                f"so its variance cannot be estimated; leave (1 | {group}) out."
            )
    for one, other in combinations(levels, 2):
        columns = list(dict.fromkeys([*one.split(":"), *other.split(":")]))
        if levels[one] == levels[other] == design.rows.select(columns).n_unique():
            raise ModelError(
                f"The model of {design.outcome} cannot be fitted: {one} and {other} "
                "have the same members, so their variances cannot be told apart; "
                "leave one of the two out."
            )


def _refuse_perfect(design: Design) -> None:
    beta = np.linalg.lstsq(design.x, design.y, rcond=None)[0]
    left = float(np.sum((design.y - design.x @ beta) ** 2))
    if left <= 1e-20 * float(np.sum(design.y**2)):
        raise ModelError(
            f"The model of {design.outcome} cannot be fitted: the fixed part explains "
            "every answer, so nothing is left to estimate a variance from."
        )


def _averaging(design: Design) -> list[str]:
    """What marginal means are averaged over, where there is anything to average."""
    parts = [f"{f} ({', '.join(levels)})" for f, levels in design.factors.items()]
    notes = []
    if len(parts) > 1:
        notes.append(
            "Marginal means and their differences give equal weights to the levels of "
            f"the other factors: {'; '.join(parts)}."
        )
    if parts and design.numbers:
        notes.append(f"Numbers stand at their mean: {', '.join(design.numbers)}.")
    return notes


def _standard_error(weights: Array, covariance: Array) -> float:
    return float(np.sqrt(weights @ covariance @ weights))


def _in_cell(rows: pl.DataFrame, *, margin: Sequence[str], cell: Cell) -> pl.DataFrame:
    return rows.filter(
        pl.all_horizontal(
            pl.col(c) == level for c, level in zip(margin, cell.levels, strict=True)
        )
    )


def _n_people(rows: pl.DataFrame, factor: str, level: str) -> int:
    return rows.filter(pl.col(factor) == level)["student"].n_unique()


def _n_communities(rows: pl.DataFrame) -> int:
    return rows["community"].drop_nulls().n_unique()


def _estimate_row(
    *,
    quantity: str,
    by: str,
    level: str,
    weights: Array,
    fit: ArrayFit,
    tested: bool,
    people: pl.DataFrame,
) -> dict[str, object]:
    """A mean is not tested against 0: nobody asked whether it is."""
    estimate = float(weights @ fit.beta)
    std_error = _standard_error(weights, fit.covariance)
    df = float(fit.df_of(weights)[0])
    statistic = estimate / std_error
    half = half_width(std_error, df)
    return {
        "quantity": quantity,
        "by": by,
        "level": level,
        "estimate": estimate,
        "std_error": std_error,
        "df": df,
        "df_method": fit.df_method,
        "statistic": statistic if tested else None,
        "p_value": two_sided(statistic, df) if tested else None,
        "conf_low": estimate - half,
        "conf_high": estimate + half,
        "n_people": people["student"].n_unique(),
        "n_answers": people.height,
        "n_communities": _n_communities(people),
    }


def _estimate_frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    caller_knows = {"analysis_year", "outcome", "model"}
    schema = {
        name: dtype
        for name, dtype in TABLES["estimate"].schema.items()
        if name not in caller_knows
    }
    return pl.DataFrame(rows, schema=schema)
