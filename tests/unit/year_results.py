"""Results of one invented year: 11 communities, 4 academic years, 4 class years.

Not from a fitted model: numbers of a realistic size, in the declared schemas, so
that the gate and the report can be tested without the pipeline.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from analyses.results import YearResults
from data_contracts.study import Study
from data_contracts.tables import TABLES
from reports.provenance import Provenance, WaveFile

YEARS = ("2022-23", "2023-24", "2024-25", "2025-26")
CLASSES = ("M1", "M2", "M3", "M4")
COMMUNITIES = tuple(f"lc{n:02d}" for n in range(1, 12))
YEAR = YEARS[-1]
SINGLE = 3.777123
"""Estimate of the planted cell of one person: must be seen nowhere."""

_OUTCOMES = {
    # id: scale, label, mean, SD, change a year, change a class year
    "exhaustion": ("olbi.exhaustion", "Exhaustion", 2.45, 0.48, -0.055, 0.06),
    "disengagement": ("olbi.disengagement", "Disengagement", 2.21, 0.46, -0.012, 0.05),
    "environment": ("dreem.total", "Learning environment", 131.0, 21.0, 2.4, -2.0),
    "distress": ("phq9.total", "Depressive symptoms (PHQ-9)", 6.6, 4.4, 0.02, 0.2),
}
_WAVES = tuple(f"{year}_{term}" for year in YEARS for term in ("fall", "spring"))


def study(**changes: object) -> Study:
    """The study file behind the results, with some settings changed."""
    settings: dict[str, object] = {
        "lcwaves": 1,
        "id": "invented",
        "title": "Learning communities and well-being",
        "synthetic": True,
        "academic_years": YEARS,
        "class_years": CLASSES,
        "communities": [{"id": c, "name": f"House {c.upper()}"} for c in COMMUNITIES],
        "key": {"kind": "student_number"},
        "rosters": {"membership": {"file": "membership.csv", "columns": {}}},
        "instruments": {
            "olbi": {"contract": "olbi", "coding": "strongly_agree_is_1"},
            "dreem": {"contract": "dreem"},
            "phq9": {"contract": "phq9"},
        },
        "waves": [
            {
                "id": wave,
                "academic_year": wave[:7],
                "opened": _opened(wave),
                "closed": _opened(wave).replace(day=28),
                "file": f"{wave}.csv",
                "format": "tabular",
                "columns": {"key": "id"},
                "instruments": {"olbi": {"items": "olbi_{n}"}},
            }
            for wave in _WAVES
        ],
        "outcomes": [
            {"id": name, "scale": spec[0], "label": spec[1]}
            for name, spec in _OUTCOMES.items()
        ],
        "primary": [
            {
                "outcome": name,
                "by": "academic_year",
                "level": YEARS[-1],
                "reference": YEARS[0],
            }
            for name in _OUTCOMES
        ],
        "models": [
            {
                "id": "main",
                "formula": "academic_year + class_year + (1 | student) "
                "+ (1 | community)",
                "outcomes": tuple(_OUTCOMES),
            }
        ],
    }
    return Study.model_validate({**settings, **changes})


def _opened(wave: str) -> date:
    start = int(wave[:4])
    return date(start, 10, 1) if wave.endswith("fall") else date(start + 1, 3, 1)


def provenance() -> Provenance:
    """Digests as a run would name them."""
    return Provenance(
        manifest_digest="a1" * 32,
        study_digest="b2" * 32,
        code_version="0.1.0",
        code_digest="c3" * 32,
        packages={"polars": "2.1.0", "statsmodels": "0.15.0", "plotly": "7.1.0"},
        waves=tuple(
            WaveFile(
                wave=w, file=f"{w}.csv", file_format="tabular", digest=f"{i:02d}" * 32
            )
            for i, w in enumerate(_WAVES)
        ),
        seed=20261122,
    )


def table(name: str, rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Rows in the declared schema of a result table; what is left out is null."""
    schema = TABLES[name].schema
    full = [{c: row.get(c) for c in schema} for row in rows]
    return pl.DataFrame(full, schema=schema, orient="row")


def year_results(*, seed: int = 7) -> YearResults:
    """Four outcomes analysed as of the last of four years."""
    chance = random.Random(seed)
    estimate: list[dict[str, object]] = []
    contrast: list[dict[str, object]] = []
    variance: list[dict[str, object]] = []
    fit: list[dict[str, object]] = []
    bins: list[dict[str, object]] = []
    for order, name in enumerate(_OUTCOMES):
        estimate += _estimates(name, chance)
        contrast += _contrasts(name, order + 1)
        variance += _variances(name)
        fit.append(_fit(name))
        bins += _bins(name)
    return YearResults(
        analysis_year=YEAR,
        estimate=table("estimate", estimate),
        contrast=table("contrast", contrast),
        variance_component=table("variance_component", variance),
        fit=table("fit", fit),
        refusal=table("refusal", []),
        distribution=table("distribution", bins),
        response_flow=table("response_flow", _flow()),
        wave=table("wave", _wave_rows()),
        set_aside=set_aside([("2025-26_fall", "answer_out_of_range", "answer", 3)])
        .vstack(set_aside([("2022-23_fall", "unknown_key", "row", 22)]))
        .vstack(set_aside([("membership", "overlapping_membership", "row", 12)])),
    )


def set_aside(rows: Sequence[tuple[str, str, str, int]]) -> pl.DataFrame:
    """Quarantine counts: source, rule, extent, rows."""
    schema = {
        "source": pl.String(),
        "rule": pl.String(),
        "extent": pl.String(),
        "n_rows": pl.Int64(),
    }
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def people(year: str, class_year: str) -> int:
    """People who answered in a class year of an academic year."""
    return 137 - 9 * CLASSES.index(class_year) + 3 * YEARS.index(year)


def _mean(name: str, year: str | None, class_year: str | None) -> float:
    _, _, mean, _, by_year, by_class = _OUTCOMES[name]
    y = YEARS.index(year) if year else 1.5
    c = CLASSES.index(class_year) if class_year else 1.5
    return mean + by_year * y + by_class * (c - 1.5)


def _row(
    name: str,
    quantity: str,
    by: str,
    level: str,
    *,
    mean: float,
    n: int,
    inflate: float,
) -> dict[str, object]:
    error = _OUTCOMES[name][3] / math.sqrt(n) * inflate
    return {
        "analysis_year": YEAR,
        "outcome": name,
        "model": "main",
        "quantity": quantity,
        "by": by,
        "level": level,
        "estimate": mean,
        "std_error": error,
        "df": math.inf,
        "df_method": "z (large sample)",
        "statistic": mean / error,
        "p_value": 0.0 if quantity != "coefficient" else 0.04123,
        "conf_low": mean - 1.96 * error,
        "conf_high": mean + 1.96 * error,
        "n_people": n,
        "n_answers": 2 * n - 7,
        "n_communities": 11,
    }


def _estimates(name: str, chance: random.Random) -> list[dict[str, object]]:
    rows = []
    for quantity, inflate in (("observed_mean", 1.0), ("marginal_mean", 1.25)):
        for year in YEARS:
            n = sum(people(year, c) for c in CLASSES)
            mean = _mean(name, year, None)
            rows.append(
                _row(
                    name,
                    quantity,
                    "academic_year",
                    year,
                    mean=mean,
                    n=n,
                    inflate=inflate,
                )
            )
        for c in CLASSES:
            n = sum(people(y, c) for y in YEARS) // 2
            mean = _mean(name, None, c)
            rows.append(
                _row(name, quantity, "class_year", c, mean=mean, n=n, inflate=inflate)
            )
    for year, c in itertools.product(YEARS, CLASSES):
        mean = _mean(name, year, c) + chance.gauss(0, _OUTCOMES[name][3] / 12)
        rows.append(
            _row(
                name,
                "observed_mean",
                "academic_year:class_year",
                f"{year} : {c}",
                mean=mean,
                n=people(year, c),
                inflate=1.0,
            )
        )
    for i, community in enumerate(COMMUNITIES):
        rows.append(
            _row(
                name,
                "observed_mean",
                "community",
                community,
                mean=_mean(name, None, None) + 0.001 * i,
                n=60 + i,
                inflate=1.0,
            )
        )
    terms = [
        "Intercept",
        *(f"academic_year[{y}]" for y in YEARS[1:]),
        *(f"class_year[{c}]" for c in CLASSES[1:]),
    ]
    for i, term in enumerate(terms):
        size = _mean(name, YEARS[0], CLASSES[0]) if i == 0 else _OUTCOMES[name][4] * i
        rows.append(
            _row(name, "coefficient", "term", term, mean=size, n=1043, inflate=1.4)
        )
    return rows


def _contrasts(name: str, order: int) -> list[dict[str, object]]:
    rows = []
    pairs = [("academic_year", YEARS), ("class_year", CLASSES)]
    for by, levels in pairs:
        for reference, level in itertools.combinations(levels, 2):
            primary = by == "academic_year" and (level, reference) == (YEAR, YEARS[0])
            families: list[tuple[str, float, int | None]] = [
                ("holm, all in one outcome", 2.6, None)
            ]
            if primary:
                families.append(("holm, declared primaries", 2.5, order))
            for adjustment, wide, place in families:
                rows.append(
                    _contrast(
                        name,
                        by,
                        level,
                        reference,
                        adjustment=adjustment,
                        wide=wide,
                        order=place,
                    )
                )
    return rows


def _contrast(
    name: str,
    by: str,
    level: str,
    reference: str,
    *,
    adjustment: str,
    wide: float,
    order: int | None,
) -> dict[str, object]:
    if by == "academic_year":
        size = _mean(name, level, None) - _mean(name, reference, None)
        n, n_reference = (
            sum(people(y, c) for c in CLASSES) for y in (level, reference)
        )
    else:
        size = _mean(name, None, level) - _mean(name, None, reference)
        n, n_reference = (
            sum(people(y, c) for y in YEARS) // 2 for c in (level, reference)
        )
    error = _OUTCOMES[name][3] / math.sqrt(n) * 1.3
    return {
        "analysis_year": YEAR,
        "outcome": name,
        "model": "main",
        "by": by,
        "level": level,
        "reference": reference,
        "estimate": size,
        "std_error": error,
        "df": math.inf,
        "df_method": "z (large sample)",
        "statistic": size / error,
        "p_value": 0.011,
        "p_adjusted": 0.044,
        "adjustment": adjustment,
        "conf_low": size - 1.96 * error,
        "conf_high": size + 1.96 * error,
        "adjusted_low": size - wide * error,
        "adjusted_high": size + wide * error,
        "n_people": n,
        "n_people_reference": n_reference,
        "primary_order": order,
    }


def _variances(name: str) -> list[dict[str, object]]:
    total = _OUTCOMES[name][3] ** 2
    parts = {"community": (0.03, 11), "student": (0.57, 1043), "residual": (0.4, 4000)}
    return [
        {
            "analysis_year": YEAR,
            "outcome": name,
            "model": "main",
            "group": group,
            "variance": share * total,
            "sd": math.sqrt(share * total),
            "conf_low": math.sqrt(share * total) * 0.6,
            "conf_high": math.sqrt(share * total) * 1.7,
            "share": share,
            "n_levels": levels,
            "n_people": 1043,
        }
        for group, (share, levels) in parts.items()
    ]


def _fit(name: str) -> dict[str, object]:
    return {
        "analysis_year": YEAR,
        "outcome": name,
        "model": "main",
        "formula": f"{name} ~ academic_year + class_year + (1 | student) "
        "+ (1 | community)",
        "engine": "statsmodels MixedLM, REML",
        "n_people": 1043,
        "n_answers": 4021,
        "n_communities": 11,
        "n_dropped": 37,
        "df": math.inf,
        "converged": True,
        "is_singular": name == "distress",
        "log_likelihood": -2210.123456,
        "note": None,
    }


def _bins(name: str) -> list[dict[str, object]]:
    scale, _, _, sd, _, _ = _OUTCOMES[name]
    declared = study()
    low, high = declared.scale_range(scale)
    count = 24 if low == 1 else 27 if high == 27 else 25
    width = (high - low) / count
    rows = []
    for year in YEARS:
        mean, n = _mean(name, year, None), sum(people(year, c) for c in CLASSES)
        for i in range(count):
            middle = low + (i + 0.5) * width
            density = math.exp(-(((middle - mean) / sd) ** 2) / 2)
            share = density / (sd * math.sqrt(2 * math.pi)) * width
            rows.append(
                {
                    "analysis_year": YEAR,
                    "outcome": name,
                    "academic_year": year,
                    "bin_low": low + i * width,
                    "bin_high": low + (i + 1) * width,
                    "n_people": round(share * n),
                }
            )
    return rows


def _flow() -> list[dict[str, object]]:
    rows = []
    for wave in _WAVES:
        year = wave[:7]
        stages = {"eligible": 1.45, "answered": 1.02, "linked": 0.99, "analysed": 0.96}
        for stage, factor in stages.items():
            cells = [("all", "all", sum(people(year, c) for c in CLASSES))]
            cells += [("class_year", c, people(year, c)) for c in CLASSES]
            cells += [("community", c, 62 + i) for i, c in enumerate(COMMUNITIES)]
            rows += [
                {
                    "analysis_year": YEAR,
                    "wave": wave,
                    "academic_year": year,
                    "by": by,
                    "level": level,
                    "stage": stage,
                    "n_people": round(n * factor),
                }
                for by, level, n in cells
            ]
    return rows


def _wave_rows() -> list[dict[str, object]]:
    return [
        {
            "wave": wave,
            "academic_year": wave[:7],
            "opened": _opened(wave),
            "closed": _opened(wave).replace(day=28),
            "file": f"{wave}.csv",
            "file_format": "tabular",
            "file_digest": f"{i:02d}" * 32,
            "rows_read": 521 + i,
            "exact_repeats": i,
        }
        for i, wave in enumerate(_WAVES)
    ]


def with_small_cell(n: int, *, estimate: float = SINGLE) -> YearResults:
    """The results with one cell (2025-26, M4) of exactly ``n`` people."""
    base = year_results()
    cell = (pl.col("by") == "academic_year:class_year") & (
        pl.col("level") == f"{YEAR} : M4"
    )
    changed = base.estimate.with_columns(
        pl.when(cell).then(pl.lit(n)).otherwise(pl.col("n_people")).alias("n_people"),
        pl.when(cell)
        .then(pl.lit(estimate))
        .otherwise(pl.col("estimate"))
        .alias("estimate"),
    )
    return replaced(base, estimate=changed)


def with_refusal(note: str) -> YearResults:
    """The results with one model that could not be fitted."""
    row = {"analysis_year": YEAR, "outcome": "distress", "model": "second",
           "formula": "class_year + (1 | community)", "note": note}  # fmt: skip
    return replaced(year_results(), refusal=table("refusal", [row]))


def replaced(results: YearResults, **frames: pl.DataFrame) -> YearResults:
    """The results with some tables exchanged."""
    return replace(results, **frames)  # type: ignore[arg-type]
