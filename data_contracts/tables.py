"""The stored tables, declared once: columns, key, rules, layer, partition.

Storage, asset checks, the codebook and the synthetic study read these
declarations. ``check_table`` turns a declaration into findings; it never repairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

from data_contracts.columns import COLUMNS, Column

__all__ = [
    "TABLES",
    "Finding",
    "Partition",
    "Table",
    "as_declared",
    "check_table",
    "empty",
]


class Partition(StrEnum):
    """By what a stored table is split."""

    NONE = "none"
    WAVE = "wave"
    ANALYSIS_YEAR = "analysis_year"


@dataclass(frozen=True)
class Table:
    """One stored table.

    Attributes:
        name: Name in the store and in study.duckdb.
        title: What one row is.
        columns: Columns in stored order.
        key: Columns that together are unique and never null.
        required: Further columns that are never null.
        allowed: Closed sets of values, by column.
        partition: By what it is split.
        produced_by: Name of the Dagster asset that makes it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    required: tuple[str, ...]
    allowed: Mapping[str, frozenset[str]]
    partition: Partition
    produced_by: str

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column name to polars type, in stored order."""
        return {c.name: c.dtype for c in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in stored order."""
        return tuple(c.name for c in self.columns)


@dataclass(frozen=True)
class Finding:
    """Result of one rule on one table: how many rows break it."""

    rule: str
    description: str
    failures: int

    @property
    def passed(self) -> bool:
        """True where no row breaks the rule."""
        return self.failures == 0


def _table(
    name: str,
    title: str,
    columns: str,
    *,
    key: str,
    produced_by: str,
    required: str = "",
    allowed: Mapping[str, frozenset[str]] | None = None,
    partition: Partition = Partition.NONE,
) -> Table:
    return Table(
        name=name,
        title=title,
        columns=tuple(COLUMNS[c] for c in columns.split()),
        key=tuple(key.split()),
        required=tuple(required.split()),
        allowed=dict(allowed or {}),
        partition=partition,
        produced_by=produced_by,
    )


_DECLARED: tuple[Table, ...] = (
    _table(
        "community",
        "a learning community",
        "community name community_type identity_named start_year end_year",
        key="community",
        required="name identity_named",
        produced_by="core_community",
    ),
    _table(
        "community_year",
        "a community in an academic year, with its features",
        "community academic_year size mentor_fte mentors residents student_reps "
        "gatherings contacts",
        key="community academic_year",
        produced_by="core_community_year",
    ),
    _table(
        "participant",
        "a person of the roster",
        "participant role cohort track",
        key="participant",
        produced_by="core_participant",
    ),
    _table(
        "membership",
        "a person in a community, class year and campus over a time",
        "participant community class_year campus valid_from valid_to",
        key="participant valid_from",
        produced_by="core_membership",
    ),
    _table(
        "wave",
        "a survey wave as received",
        "wave academic_year opened closed file file_format file_digest rows_read "
        "exact_repeats",
        key="wave",
        required="academic_year opened file_digest rows_read",
        partition=Partition.WAVE,
        produced_by="core_wave",
    ),
    _table(
        "response",
        "a person's response to a wave",
        "participant wave academic_year status recorded_on community class_year "
        "campus file_digest row_number",
        key="participant wave",
        required="academic_year status file_digest row_number",
        allowed={"status": frozenset({"complete", "partial"})},
        partition=Partition.WAVE,
        produced_by="core_response",
    ),
    _table(
        "covariate",
        "a declared covariate of a response",
        "participant wave covariate text_value",
        key="participant wave covariate",
        required="text_value",
        partition=Partition.WAVE,
        produced_by="core_covariate",
    ),
    _table(
        "item_response",
        "a person's answer to one item in a wave",
        "participant wave instrument item answer",
        key="participant wave instrument item",
        required="answer",
        partition=Partition.WAVE,
        produced_by="core_item_response",
    ),
    _table(
        "score",
        "a person's score on one scale in a wave",
        "participant wave academic_year scale value n_answered n_items",
        key="participant wave scale",
        required="academic_year n_answered n_items",
        partition=Partition.WAVE,
        produced_by="core_score",
    ),
    _table(
        "quarantine",
        "a row or an answer set aside, with the rule that it broke",
        "source file file_digest row_number column_name rule extent",
        key="source row_number column_name rule",
        required="file file_digest extent",
        allowed={"extent": frozenset({"row", "answer"})},
        partition=Partition.WAVE,
        produced_by="core_quarantine",
    ),
    _table(
        "roster_quarantine",
        "a roster row set aside, with the rule that it broke",
        "source file file_digest row_number column_name rule extent",
        key="source row_number column_name rule",
        required="file file_digest extent",
        allowed={"extent": frozenset({"row", "answer"})},
        produced_by="core_roster_quarantine",
    ),
    _table(
        "response_flow",
        "people at a stage of the response flow in a cell of a wave",
        "analysis_year wave academic_year by level stage n_people",
        key="analysis_year wave by level stage",
        required="n_people",
        allowed={
            "stage": frozenset({"eligible", "answered", "linked", "analysed"}),
        },
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_response_flow",
    ),
    _table(
        "estimate",
        "an estimated or observed mean, or a model coefficient",
        "analysis_year outcome model quantity by level estimate std_error df "
        "df_method statistic p_value conf_low conf_high n_people n_answers "
        "n_communities",
        key="analysis_year outcome model quantity by level",
        required="n_people n_answers",
        allowed={
            "quantity": frozenset({"observed_mean", "marginal_mean", "coefficient"}),
        },
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_estimate",
    ),
    _table(
        "contrast",
        "a difference between two marginal means",
        "analysis_year outcome model by level reference estimate std_error df "
        "df_method statistic p_value p_adjusted adjustment conf_low conf_high "
        "adjusted_low adjusted_high n_people n_people_reference primary_order",
        key="analysis_year outcome model by level reference adjustment",
        required="n_people n_people_reference",
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_contrast",
    ),
    _table(
        "variance_component",
        "a variance of a fitted model; its interval is the standard deviation's",
        "analysis_year outcome model group variance sd conf_low conf_high share "
        "n_levels n_people",
        key="analysis_year outcome model group",
        required="n_levels n_people",
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_variance_component",
    ),
    _table(
        "fit",
        "the record of one fitted model",
        "analysis_year outcome model formula engine n_people n_answers n_communities "
        "n_dropped df converged is_singular log_likelihood note",
        key="analysis_year outcome model",
        required="formula engine n_people n_answers",
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_fit",
    ),
    _table(
        "refusal",
        "a model of an outcome that could not be fitted, and why",
        "analysis_year outcome model formula note",
        key="analysis_year outcome model",
        required="formula note",
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_refusal",
    ),
    _table(
        "distribution",
        "people in a bin of an outcome in an academic year",
        "analysis_year outcome academic_year bin_low bin_high n_people",
        key="analysis_year outcome academic_year bin_low",
        required="bin_high n_people",
        partition=Partition.ANALYSIS_YEAR,
        produced_by="out_distribution",
    ),
)

TABLES: dict[str, Table] = {t.name: t for t in _DECLARED}
"""All stored tables by name."""


def empty(name: str) -> pl.DataFrame:
    """Return the table without rows, in its declared schema."""
    return pl.DataFrame(schema=TABLES[name].schema)


def as_declared(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame with the table's columns and types, sorted by its key.

    Sorting makes the stored bytes a function of the rows alone.
    """
    table = TABLES[name]
    return frame.select(pl.col(c.name).cast(c.dtype) for c in table.columns).sort(
        table.key
    )


def check_table(name: str, frame: pl.DataFrame) -> tuple[Finding, ...]:
    """Check a frame against the declaration of its table.

    Every rule is reported, passed or not; findings hold counts, never values.

    Args:
        name: Declared table name.
        frame: Rows to check.

    Returns:
        One finding per rule: ``schema``, ``unique_key``, ``not_null`` and
        ``allowed_values``.

    Examples:
        >>> [f.rule for f in check_table("community", empty("community"))]
        ['schema', 'unique_key', 'not_null', 'allowed_values']
    """
    table = TABLES[name]
    wrong = sum(
        1 for c, dtype in table.schema.items() if frame.schema.get(c) != dtype
    ) + len(set(frame.columns) - set(table.names))
    schema = Finding("schema", "columns and types are as declared", wrong)
    if wrong:
        return (schema,)
    nullable_key = {"column_name"}
    never_null = [c for c in (*table.key, *table.required) if c not in nullable_key]
    repeated = frame.height - frame.select(table.key).n_unique() if frame.height else 0
    nulls = int(
        frame.select(
            pl.sum_horizontal(pl.col(c).is_null().sum() for c in never_null)
        ).item()
    )
    outside = sum(
        frame.filter(pl.col(c).is_not_null() & ~pl.col(c).is_in(sorted(values))).height
        for c, values in table.allowed.items()
    )
    return (
        schema,
        Finding("unique_key", f"{', '.join(table.key)} are unique together", repeated),
        Finding("not_null", f"{', '.join(never_null)} are never missing", nulls),
        Finding("allowed_values", "closed sets of values are respected", outside),
    )
