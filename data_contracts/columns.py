"""Every column name of the project, declared once: type, meaning, sensitivity.

Tables are lists of these columns (``data_contracts.tables``); storage, checks,
the synthetic study and the codebook all read this declaration. A column that is
not here does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl

__all__ = ["COLUMNS", "Column", "Sensitivity", "column"]


class Sensitivity(StrEnum):
    """What a column can betray, from nothing to a person."""

    OPEN = "open"
    KEY = "key"
    QUASI_IDENTIFIER = "quasi_identifier"
    ANSWER = "answer"
    DERIVED = "derived"


@dataclass(frozen=True)
class Column:
    """One column: its name, its polars type, what it means and what it betrays."""

    name: str
    dtype: pl.DataType
    meaning: str
    sensitivity: Sensitivity


_TEXT, _INT, _REAL = pl.String(), pl.Int64(), pl.Float64()
_FLAG, _DATE = pl.Boolean(), pl.Date()
_O, _K = Sensitivity.OPEN, Sensitivity.KEY
_Q, _A = Sensitivity.QUASI_IDENTIFIER, Sensitivity.ANSWER
_D = Sensitivity.DERIVED

_DECLARED: tuple[Column, ...] = (
    # who
    Column("participant", _TEXT, "pseudonymous person key (keyed hash)", _K),
    Column("role", _TEXT, "student, resident or faculty", _Q),
    Column("cohort", _TEXT, "academic year of entry", _Q),
    Column("track", _TEXT, "curriculum track", _Q),
    Column("community", _TEXT, "learning community id", _Q),
    Column("class_year", _TEXT, "class year (level of the programme)", _Q),
    Column("campus", _TEXT, "campus", _Q),
    Column("valid_from", _DATE, "first day of this membership", _Q),
    Column("valid_to", _DATE, "last day of this membership; null while it lasts", _Q),
    # communities
    Column("name", _TEXT, "name of the community", _O),
    Column("community_type", _TEXT, "kind of community", _O),
    Column("identity_named", _FLAG, "named for an identity: never shown singly", _O),
    Column("start_year", _TEXT, "first academic year", _O),
    Column("end_year", _TEXT, "last academic year; null while it lasts", _O),
    Column("size", _INT, "members in the academic year", _O),
    Column("mentor_fte", _REAL, "mentors' full-time equivalents", _O),
    Column("mentors", _INT, "number of mentors", _O),
    Column("residents", _INT, "number of residents", _O),
    Column("student_reps", _INT, "number of student representatives", _O),
    Column("gatherings", _INT, "gatherings in the year", _O),
    Column("contacts", _INT, "mentor contacts in the year", _O),
    # when
    Column("wave", _TEXT, "survey wave id", _O),
    Column("academic_year", _TEXT, "academic year, such as 2025-26", _O),
    Column("opened", _DATE, "first day of the wave", _O),
    Column("closed", _DATE, "last day of the wave", _O),
    Column("recorded_on", _DATE, "day on which the answer was recorded", _Q),
    # provenance
    Column("file", _TEXT, "file name inside the study's raw folder", _O),
    Column("file_format", _TEXT, "export format of the file", _O),
    Column("file_digest", _TEXT, "SHA-256 of the file", _O),
    Column("row_number", _INT, "row in the file, counted from 1 with its header", _Q),
    Column("rows_read", _INT, "data rows in the file that belong to the wave", _O),
    Column("exact_repeats", _INT, "rows equal in every column to an earlier one", _O),
    # answers
    Column("status", _TEXT, "complete or partial", _D),
    Column("covariate", _TEXT, "name of a declared covariate", _O),
    Column("text_value", _TEXT, "value of a covariate, as text", _A),
    Column("instrument", _TEXT, "instrument id in the study file", _O),
    Column("item", _INT, "item position in the instrument, from 1", _O),
    Column("answer", _REAL, "answer as coded in the file, unreversed", _A),
    Column("scale", _TEXT, "scale id, as instrument.scale", _O),
    Column("value", _REAL, "score on the scale; null where the missing rule says", _A),
    Column("n_answered", _INT, "items of the scale that were answered", _D),
    Column("n_items", _INT, "items in the scale", _O),
    # quarantine
    Column("source", _TEXT, "wave id or roster name of the quarantined row", _O),
    Column("column_name", _TEXT, "column at fault; null when the whole row is", _O),
    Column("rule", _TEXT, "name of the rule that failed", _O),
    Column("extent", _TEXT, "row (all of it is set aside) or answer (one cell)", _O),
    # results
    Column("analysis_year", _TEXT, "academic year as of which it was analysed", _O),
    Column("outcome", _TEXT, "outcome id in the study file", _O),
    Column("model", _TEXT, "model id in the study file", _O),
    Column("formula", _TEXT, "model formula in lme4's notation", _O),
    Column("engine", _TEXT, "software and method that fitted the model", _O),
    Column("quantity", _TEXT, "observed_mean, marginal_mean or coefficient", _O),
    Column("by", _TEXT, "factor or factors that define the cells", _O),
    Column("level", _TEXT, "cell, levels joined by ' : '", _O),
    Column("reference", _TEXT, "level that is subtracted", _O),
    Column("estimate", _REAL, "estimate in the outcome's own units", _D),
    Column("std_error", _REAL, "standard error of the estimate", _D),
    Column("df", _REAL, "degrees of freedom; infinite for a large-sample z", _D),
    Column("df_method", _TEXT, "how df were found: z (large sample), residual", _O),
    Column("statistic", _REAL, "test statistic", _D),
    Column("p_value", _REAL, "two-sided p value, unadjusted", _D),
    Column("p_adjusted", _REAL, "p value adjusted over its family", _D),
    Column("adjustment", _TEXT, "multiplicity adjustment and its family", _O),
    Column("conf_low", _REAL, "lower end of the 95% interval", _D),
    Column("conf_high", _REAL, "upper end of the 95% interval", _D),
    Column("adjusted_low", _REAL, "lower end of the adjusted 95% interval", _D),
    Column("adjusted_high", _REAL, "upper end of the adjusted 95% interval", _D),
    Column("n_people", _INT, "people behind the cell (not rows)", _D),
    Column("n_answers", _INT, "answers (rows) behind the cell", _D),
    Column("n_people_reference", _INT, "people behind the reference cell", _D),
    Column("n_communities", _INT, "communities behind the result", _D),
    Column("primary_order", _INT, "place among declared primaries; null if not", _O),
    Column("group", _TEXT, "grouping factor, or residual", _O),
    Column("variance", _REAL, "variance of the random effect", _D),
    Column("sd", _REAL, "standard deviation of the random effect", _D),
    Column("share", _REAL, "share of the total variance", _D),
    Column("n_levels", _INT, "levels of the grouping factor", _D),
    Column("n_dropped", _INT, "responses left out as incomplete", _D),
    Column("converged", _FLAG, "the optimiser reported convergence", _O),
    Column("is_singular", _FLAG, "a variance was estimated at its boundary of 0", _O),
    Column("log_likelihood", _REAL, "(restricted) log-likelihood", _D),
    Column("note", _TEXT, "what a reader must know about this result", _O),
    Column("bin_low", _REAL, "lower edge of the bin, included", _O),
    Column("bin_high", _REAL, "upper edge, excluded except in the last bin", _O),
    Column("stage", _TEXT, "stage of the response flow", _O),
)

COLUMNS: dict[str, Column] = {c.name: c for c in _DECLARED}
"""All columns by name."""


def column(name: str) -> Column:
    """Return the declaration of a column.

    Raises:
        KeyError: If no such column is declared.

    Examples:
        >>> column("participant").sensitivity.value
        'key'
    """
    return COLUMNS[name]
