"""Conforming: text becomes typed rows, and what breaks a rule goes to quarantine.

Types and missing codes are decided here and nowhere else. A quarantined row or
answer keeps its file, row, column and the rule's name, never what stood there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from data_contracts.door import STOPPED_CELL, covariate_column, item_column
from data_contracts.errors import DataError
from data_contracts.study import Covariate, Study, Wave
from data_contracts.tables import TABLES, as_declared, empty

__all__ = [
    "ANSWER_RULES",
    "ROW_RULES",
    "ConformedWave",
    "WaveSource",
    "conform_wave",
]

ROW_RULES: dict[str, str] = {
    "preview_response": "the survey tool marked it as a preview or test",
    "unfinished_response": "unfinished, and no item was answered",
    "missing_key": "the person's key is empty",
    "unknown_person": "the person is not in the roster",
    "unknown_class_year": "the class year is not declared",
    "unknown_campus": "the campus is not declared",
    "unknown_community": "the community is not declared",
    "exact_repeat": "the same person and the same content as an earlier row",
    "duplicate_person": "the same person more than once with different content",
}
"""Rules that set a whole row aside, in the order in which they are tried."""

ANSWER_RULES: dict[str, str] = {
    "unknown_code": "not a value of the instrument or measure",
    "unknown_level": "not a declared level of the covariate, or not a number",
    "identifying_content": "the cell looked like a mail address, phone number or IP",
    "unreadable_date": "not a date",
}
"""Rules that set one cell aside; the row stays, the cell counts as missing."""

_TOO_MANY, _FEW = 0.2, 10
"""Above this share (and number) of unknown codes the file is at fault, not a row."""


@dataclass(frozen=True)
class WaveSource:
    """Which file a wave's rows came from."""

    file: str
    file_format: str
    digest: str


@dataclass(frozen=True)
class ConformedWave:
    """A wave as tables in their declared schemas."""

    wave: pl.DataFrame
    response: pl.DataFrame
    covariate: pl.DataFrame
    item_response: pl.DataFrame
    quarantine: pl.DataFrame


def conform_wave(
    raw: pl.DataFrame,
    study: Study,
    *,
    wave: Wave,
    source: WaveSource,
    people: Collection[str] | None,
) -> ConformedWave:
    """Sort a wave's rows into accepted tables and quarantine.

    Args:
        raw: Text rows as the door admitted them.
        study: The study.
        wave: The wave.
        source: The file behind the rows.
        people: Person keys of the roster, or None where the study has none.

    Returns:
        Tables ``wave``, ``response``, ``covariate``, ``item_response`` and
        ``quarantine``. An empty cell or a declared missing code is a missing
        answer, not a fault.

    Raises:
        DataError: If most answers to an instrument are not its codes (labels
            exported instead of numbers, a shifted coding), or no row is accepted.
    """
    cells = raw.with_columns(_missing_as_null(raw, wave))
    rules = _row_rules(cells, study, wave=wave, people=people)
    marked = cells.with_columns(rule=rules)
    accepted = marked.filter(pl.col("rule").is_null()).drop("rule")
    set_aside = [
        _quarantined(marked.filter(pl.col("rule").is_not_null()), wave, source)
    ]
    if accepted.is_empty():
        raise DataError(
            f"{source.file}: all {raw.height} rows of wave {wave.id} broke a rule "
            f"({_counted(marked)}); expected at least one good row. See the mapping "
            "and the roster in study.yaml."
        )
    items, bad_items = _items(accepted, study, wave=wave, source=source)
    covariates, bad_covariates = _covariates(accepted, study, wave=wave, source=source)
    recorded, bad_dates = _recorded_on(accepted, wave=wave, source=source)
    response = accepted.select(
        "participant",
        wave=pl.lit(wave.id),
        academic_year=pl.lit(wave.academic_year),
        status=pl.when("unfinished")
        .then(pl.lit("partial"))
        .otherwise(pl.lit("complete")),
        recorded_on=recorded,
        **{c: _optional(accepted, c) for c in ("community", "class_year", "campus")},
        file_digest=pl.lit(source.digest),
        row_number=pl.col("row_number"),
    )
    received = pl.DataFrame(
        {
            "wave": [wave.id],
            "academic_year": [wave.academic_year],
            "opened": [wave.opened],
            "closed": [wave.closed],
            "file": [source.file],
            "file_format": [source.file_format],
            "file_digest": [source.digest],
            "rows_read": [raw.height],
            "exact_repeats": [int(raw.get_column("exact_repeat").sum())],
        },
        schema=TABLES["wave"].schema,
    )
    return ConformedWave(
        wave=received,
        response=as_declared("response", response),
        covariate=as_declared("covariate", covariates),
        item_response=as_declared("item_response", items),
        quarantine=as_declared(
            "quarantine",
            pl.concat([*set_aside, bad_items, bad_covariates, bad_dates]),
        ),
    )


def _missing_as_null(raw: pl.DataFrame, wave: Wave) -> list[pl.Expr]:
    codes = ["", *wave.missing_codes]
    texts = [
        c for c, dtype in raw.schema.items()
        if dtype == pl.String and c != "participant"
    ]  # fmt: skip
    return [
        pl.when(pl.col(c).is_in(codes)).then(None).otherwise(pl.col(c)).alias(c)
        for c in texts
    ]


def _optional(frame: pl.DataFrame, column: str) -> pl.Expr:
    if column in frame.columns:
        return pl.col(column)
    return pl.lit(None, dtype=pl.String)


def _item_columns(frame: pl.DataFrame) -> list[str]:
    return [c for c in frame.columns if c.startswith("item.")]


def _row_rules(
    cells: pl.DataFrame, study: Study, *, wave: Wave, people: Collection[str] | None
) -> pl.Series:
    """First rule that each row breaks, or null."""
    items = _item_columns(cells)
    unanswered = pl.all_horizontal(pl.col(c).is_null() for c in items)
    keyed = wave.columns.key is not None
    known = pl.lit(value=True)
    if people is not None:
        known = pl.col("participant").is_in(list(people))
    broken: list[tuple[str, pl.Expr]] = [
        ("preview_response", pl.col("preview")),
        ("unfinished_response", pl.col("unfinished") & unanswered),
        ("missing_key", pl.col("participant").is_null()),
        ("unknown_person", ~known),
        *_undeclared(cells, study),
    ]
    rule = pl.coalesce(
        [pl.when(test).then(pl.lit(name)) for name, test in broken]
        + [pl.lit(None, dtype=pl.String)]
    )
    first = cells.select("participant", *_content(cells), rule=rule)
    if not keyed:
        return first.get_column("rule")
    # Rows set aside already do not make their person's good row a duplicate.
    good = pl.col("rule").is_null()
    repeated = first.with_columns(
        exact=pl.struct("participant", "rule", *_content(cells)).is_first_distinct()
    ).with_columns(distinct=(good & pl.col("exact")).sum().over("participant"))
    return repeated.select(
        pl.when(~good)
        .then(pl.col("rule"))
        .when(pl.col("distinct") > 1)
        .then(pl.lit("duplicate_person"))
        .when(~pl.col("exact"))
        .then(pl.lit("exact_repeat"))
        .otherwise(None)
        .alias("rule")
    ).to_series()


def _content(cells: pl.DataFrame) -> list[str]:
    provenance = {"row_number", "participant", "preview", "exact_repeat"}
    return [c for c in cells.columns if c not in provenance]


def _undeclared(cells: pl.DataFrame, study: Study) -> list[tuple[str, pl.Expr]]:
    declared = {
        "class_year": list(study.class_years),
        "campus": list(study.campuses),
        "community": [c.id for c in study.communities],
    }
    return [
        (f"unknown_{c}", pl.col(c).is_not_null() & ~pl.col(c).is_in(names))
        for c, names in declared.items()
        if c in cells.columns
    ]


def _counted(marked: pl.DataFrame) -> str:
    counts = marked.get_column("rule").value_counts(sort=True)
    return ", ".join(f"{rule}: {n}" for rule, n in counts.iter_rows())


def _quarantined(
    rows: pl.DataFrame, wave: Wave, source: WaveSource, *, column: str | None = None
) -> pl.DataFrame:
    """Quarantine rows; ``rows`` holds row_number and rule."""
    return rows.select(
        source=pl.lit(wave.id),
        file=pl.lit(source.file),
        file_digest=pl.lit(source.digest),
        row_number=pl.col("row_number"),
        column_name=pl.lit(column, dtype=pl.String),
        rule=pl.col("rule"),
        extent=pl.lit("row" if column is None else "answer"),
    )


def _split(
    cells: pl.DataFrame, column: str, *, good: pl.Expr, fault: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answered cells of a column that keep the rule, and those that break it."""
    filled = cells.filter(pl.col(column).is_not_null())
    judged = filled.with_columns(
        rule=pl.when(pl.col(column) == STOPPED_CELL)
        .then(pl.lit("identifying_content"))
        .when(good.fill_null(value=False))
        .then(None)
        .otherwise(pl.lit(fault))
    )
    return (
        judged.filter(pl.col("rule").is_null()).drop("rule"),
        judged.filter(pl.col("rule").is_not_null()),
    )


def _items(
    accepted: pl.DataFrame, study: Study, *, wave: Wave, source: WaveSource
) -> tuple[pl.DataFrame, pl.DataFrame]:
    kept = [empty("item_response")]
    faults = [empty("quarantine")]
    for name, entry in wave.instruments.items():
        instrument = study.instrument(name)
        response = instrument.response
        answered = wrong = 0
        for item, column in enumerate(entry.item_columns(instrument.n_items), start=1):
            ours = item_column(name, item)
            number = pl.col(ours).cast(pl.Float64, strict=False)
            good = number.is_between(response.minimum, response.maximum)
            if response.whole_numbers:
                good &= number == number.round()
            fine, bad = _split(accepted, ours, good=good, fault="unknown_code")
            answered += fine.height + bad.height
            wrong += bad.height
            kept.append(
                fine.select(
                    "participant",
                    wave=pl.lit(wave.id),
                    instrument=pl.lit(name),
                    item=pl.lit(item, dtype=pl.Int64),
                    answer=number,
                )
            )
            faults.append(_quarantined(bad, wave, source, column=column))
        if wrong > max(_FEW, _TOO_MANY * answered):
            raise DataError(
                f"{source.file}: {wrong} of {answered} answers to {name} are not its "
                f"codes; expected numbers from {response.minimum:g} to "
                f"{response.maximum:g}. If labels were exported, export numeric "
                "values; if the coding was shifted, recode it in the survey tool."
            )
    return pl.concat(kept), pl.concat(faults)


def _covariates(
    accepted: pl.DataFrame, study: Study, *, wave: Wave, source: WaveSource
) -> tuple[pl.DataFrame, pl.DataFrame]:
    declared: dict[str, Covariate] = {c.id: c for c in study.covariates}
    kept = [empty("covariate")]
    faults = [empty("quarantine")]
    for name, column in wave.columns.covariates.items():
        ours = covariate_column(name)
        covariate = declared[name]
        good = (
            pl.col(ours).is_in(list(covariate.levels))
            if covariate.type == "category"
            else pl.col(ours).cast(pl.Float64, strict=False).is_finite()
        )
        fine, bad = _split(accepted, ours, good=good, fault="unknown_level")
        kept.append(
            fine.select(
                "participant",
                wave=pl.lit(wave.id),
                covariate=pl.lit(name),
                text_value=pl.col(ours),
            )
        )
        faults.append(_quarantined(bad, wave, source, column=column))
    return pl.concat(kept), pl.concat(faults)


def _recorded_on(
    accepted: pl.DataFrame, *, wave: Wave, source: WaveSource
) -> tuple[pl.Series, pl.DataFrame]:
    column = wave.columns.recorded_on
    if column is None:
        nothing = pl.repeat(None, accepted.height, dtype=pl.Date, eager=True)
        return nothing, empty("quarantine")
    # Survey tools add a time of day; the day is all that is kept.
    day = pl.col("recorded_on").str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    _, bad = _split(
        accepted, "recorded_on", good=day.is_not_null(), fault="unreadable_date"
    )
    dates = accepted.select(day.alias("recorded_on")).to_series()
    return dates, _quarantined(bad, wave, source, column=column)
