"""Well-being over academic years, class years and communities, as of one year.

The study's questions in the order in which it declares them: observed means, each
declared model for each of its outcomes, all differences between levels, and the
declared primary contrasts as a family of their own. Rows come out unrounded and
unreleased, with the people behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import polars as pl

from analyses.contrasts import Difference, contrast_rows
from analyses.descriptives import observed_means
from analyses.formula import parse_formula
from analyses.frames import ModelFrame
from analyses.models import OutcomeFit, fit_outcome
from data_contracts.errors import InternalError, ModelError
from data_contracts.study import Study
from data_contracts.tables import TABLES, check_table, empty

__all__ = ["WellbeingTables", "analyse_year"]

Fits = dict[tuple[str, str], OutcomeFit]


@dataclass(frozen=True)
class WellbeingTables:
    """Result tables as declared in ``data_contracts.tables``."""

    estimate: pl.DataFrame
    contrast: pl.DataFrame
    variance_component: pl.DataFrame
    fit: pl.DataFrame
    refusal: pl.DataFrame


def analyse_year(
    study: Study,
    *,
    frame: ModelFrame,
    progress: Callable[[str], None] | None = None,
) -> WellbeingTables:
    """Answer the study's questions with the waves up to one academic year.

    Args:
        study: The study: its models, outcomes and primary contrasts.
        frame: The model frame as of the year.
        progress: Told what is being fitted.

    Returns:
        The tables, checked against their declarations. Differences within a factor
        are later minus earlier, all of one outcome and factor being a family; a
        primary contrast that these data do not hold yet is left out of its family,
        and the others keep their declared places. A model that cannot be fitted is
        a row of ``refusal`` with its reason; the others go on.

    Raises:
        InternalError: If a table breaks its declaration.
    """
    fits, refused = _fit_all(study, frame, progress=progress)
    named = {
        key: {"analysis_year": frame.analysis_year, "model": key[0], "outcome": key[1]}
        for key in fits
    }
    estimates = [observed_means(frame)]
    contrasts: list[pl.DataFrame] = []
    components: list[pl.DataFrame] = []
    records: list[pl.DataFrame] = []
    for key, fit in fits.items():
        names = named[key]
        estimates += [
            _rows("estimate", fit.marginal_means(), names),
            _rows("estimate", fit.coefficients(), names),
        ]
        contrasts += [
            _rows("contrast", contrast_rows(family, family=factor), names)
            for factor in fit.design.factors
            if (family := fit.differences(factor))
        ]
        components.append(_rows("variance_component", fit.variance_components(), names))
        records.append(_rows("fit", fit.record(), names))
    contrasts.append(_primary_rows(study, fits, analysis_year=frame.analysis_year))
    tables = WellbeingTables(
        estimate=pl.concat(estimates),
        contrast=pl.concat(contrasts),
        variance_component=pl.concat([empty("variance_component"), *components]),
        fit=pl.concat([empty("fit"), *records]),
        refusal=pl.concat([empty("refusal"), *refused]),
    )
    _check(tables)
    return tables


def _fit_all(
    study: Study,
    frame: ModelFrame,
    *,
    progress: Callable[[str], None] | None,
) -> tuple[Fits, list[pl.DataFrame]]:
    fits: Fits = {}
    refused: list[pl.DataFrame] = []
    for model in study.models:
        for outcome in model.outcomes:
            if progress is not None:
                progress(f"{model.id}: {outcome}")
            try:
                spec = parse_formula(model.formula)
                fit = fit_outcome(
                    spec, frame.only(model.only), outcome=outcome, ddf=model.ddf
                )
                fits[model.id, outcome] = replace(
                    fit, notes=(*_subset_notes(model.only), *fit.notes)
                )
            except ModelError as error:
                row = (
                    frame.analysis_year,
                    outcome,
                    model.id,
                    model.formula,
                    str(error),
                )
                schema = TABLES["refusal"].schema
                refused.append(pl.DataFrame([row], schema=schema, orient="row"))
    return fits, refused


def _subset_notes(only: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    parts = [f"{len(kept)} levels of {column}" for column, kept in only.items()]
    return (f"Fitted to a declared subset: {', '.join(parts)}.",) if parts else ()


def _primary_rows(study: Study, fits: Fits, *, analysis_year: str) -> pl.DataFrame:
    """Declared primaries that the fitted models hold, as one family."""
    found: list[tuple[int, tuple[str, str], Difference]] = []
    for place, primary in enumerate(study.primary, start=1):
        for key, fit in fits.items():
            levels = fit.design.factors.get(primary.by, ())
            if key[1] == primary.outcome and {
                primary.level,
                primary.reference,
            } <= set(levels):
                difference = fit.difference(
                    primary.by, level=primary.level, reference=primary.reference
                )
                found.append((place, key, difference))
                break  # the first declared model that holds it
    rows = contrast_rows(
        [d for _, _, d in found],
        family="primary",
        primary_order=[place for place, _, _ in found],
    )
    return rows.select(
        pl.lit(analysis_year).alias("analysis_year"),
        pl.Series("outcome", [key[1] for _, key, _ in found], dtype=pl.String),
        pl.Series("model", [key[0] for _, key, _ in found], dtype=pl.String),
        pl.all(),
    ).select(list(TABLES["contrast"].schema))


def _rows(table: str, rows: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    return rows.with_columns(
        pl.lit(value).alias(name) for name, value in names.items()
    ).select(list(TABLES[table].schema))


def _check(tables: WellbeingTables) -> None:
    for field in fields(tables):
        for finding in check_table(field.name, getattr(tables, field.name)):
            if not finding.passed:
                raise InternalError(
                    f"The table {field.name} breaks its rule {finding.rule} "
                    f"({finding.description}) in {finding.failures} rows."
                )
