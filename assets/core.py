"""The core layer: typed, checked, scored tables, and what was set aside."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from assets.context import Materialized, StudyContext
from assets.declared import check_specs, guarded, stored, table_metadata, table_out
from assets.partitions import EVERY_WAVE, WAVES
from data_contracts.conform import WaveSource, conform_wave
from data_contracts.roster import RosterSource, communities, conform_rosters
from data_contracts.scoring import score_wave
from data_contracts.tables import TABLES

__all__ = ["core_database", "core_rosters", "core_score", "core_wave_tables"]

KINDS = frozenset({"polars", "parquet"})
WAVE_TABLES = ("wave", "response", "covariate", "item_response", "quarantine")
ROSTER_TABLES = (
    "community", "community_year", "participant", "membership", "roster_quarantine",
)  # fmt: skip
MOST_SET_ASIDE = 0.1
"""Above this share of quarantined rows a check warns."""


@dg.multi_asset(
    outs={t: table_out(t, kinds=KINDS) for t in ROSTER_TABLES},
    ins={
        n: dg.AssetIn(f"raw_{n}")
        for n in ("membership", "participants", "community_years")
    },
    check_specs=check_specs(*ROSTER_TABLES),
    group_name="core",
    op_tags={"layer": "core"},
)
@guarded
def core_rosters(
    membership: pl.DataFrame,
    participants: pl.DataFrame,
    community_years: pl.DataFrame,
    place: dg.ResourceParam[StudyContext],
) -> Iterator[dg.AssetCheckResult | dg.Output[Materialized]]:
    """Communities, people and memberships, from the study file and its rosters."""
    tables = conform_rosters(
        place.study,
        membership=_source("membership", membership),
        participants=_source("participants", participants),
        community_years=_source("community_years", community_years),
    )
    inputs = place.roster_inputs()
    frames = {
        "community": communities(place.study),
        "community_year": tables.community_year,
        "participant": tables.participant,
        "membership": tables.membership,
        "roster_quarantine": tables.quarantine,
    }
    for name, frame in frames.items():
        extra = _set_aside(frame) if name == "roster_quarantine" else None
        yield from stored(name, frame, inputs=inputs, output=name, metadata=extra)


def _source(name: str, frame: pl.DataFrame) -> RosterSource | None:
    if "file" not in frame.columns:
        return None
    file, digest = frame.select("file", "file_digest").row(0)
    return RosterSource(name=name, file=file, digest=digest, frame=frame)


@dg.multi_asset(
    partitions_def=WAVES,
    outs={t: table_out(t, kinds=KINDS) for t in WAVE_TABLES},
    ins={
        "raw_wave": dg.AssetIn("raw_wave"),
        "people": dg.AssetIn("core_participant"),
    },
    check_specs=[
        *check_specs(*WAVE_TABLES),
        dg.AssetCheckSpec(
            "few_rows_set_aside",
            asset="core_quarantine",
            description="At most one row in ten of the wave was set aside.",
        ),
    ],
    group_name="core",
    op_tags={"layer": "core"},
)
@guarded
def core_wave_tables(
    context: dg.AssetExecutionContext,
    raw_wave: pl.DataFrame,
    people: pl.DataFrame,
    place: dg.ResourceParam[StudyContext],
) -> Iterator[dg.AssetCheckResult | dg.Output[Materialized]]:
    """A wave's responses, covariates and answers, and its quarantine."""
    wave = place.study.waves_by_id[context.partition_key]
    file, file_format, digest = raw_wave.select(
        "file", "file_format", "file_digest"
    ).row(0)
    provenance = {"wave", "file", "file_format", "file_digest"}
    conformed = conform_wave(
        raw_wave.drop(provenance),
        place.study,
        wave=wave,
        source=WaveSource(file, file_format, digest),
        people=set(people.get_column("participant")) if people.height else None,
    )
    rows_aside = conformed.quarantine.filter(pl.col("extent") == "row").height
    place.progress(
        f"{wave.id}: {conformed.response.height} responses, "
        f"{conformed.quarantine.height} rows and answers set aside"
    )
    yield dg.AssetCheckResult(
        passed=rows_aside <= MOST_SET_ASIDE * raw_wave.height,
        asset_key="core_quarantine",
        check_name="few_rows_set_aside",
        severity=dg.AssetCheckSeverity.WARN,
        description="See `lcwaves status` for the rules and counts.",
        metadata={"rows set aside": rows_aside, "rows read": raw_wave.height},
    )
    inputs = _wave_inputs(context, place)
    for name in WAVE_TABLES:
        frame: pl.DataFrame = getattr(conformed, name)
        extra = _set_aside(frame) if name == "quarantine" else None
        yield from stored(name, frame, inputs=inputs, output=name, metadata=extra)


def _wave_inputs(
    context: dg.AssetExecutionContext, place: StudyContext
) -> dict[str, str]:
    wave = place.study.waves_by_id[context.partition_key]
    raw = {e.partition: e for e in place.store.of("raw_wave")}[wave.id]
    return {
        "raw": raw.digest,
        "people": place.roster_digest(),
        "declaration": place.wave_declaration(wave),
        "code": place.code_digest,
    }


def _set_aside(quarantine: pl.DataFrame) -> dict[str, Any]:
    """Counts by rule, as a table in the UI."""
    counts = quarantine.group_by("rule", "extent").len().sort("rule", "extent")
    rows = [f"| {r} | {e} | {n} |" for r, e, n in counts.iter_rows()]
    table = "\n".join(["| rule | extent | count |", "|---|---|---|", *rows])
    return {"set aside": dg.MetadataValue.md(table if rows else "nothing")}


@dg.asset(
    partitions_def=WAVES,
    group_name="core",
    kinds=set(KINDS),
    tags={"layer": "core"},
    metadata=table_metadata(TABLES["score"]),
    check_specs=[
        *check_specs("score"),
        dg.AssetCheckSpec(
            "within_range",
            asset="core_score",
            description="Every score lies in its scale's range.",
            blocking=True,
        ),
    ],
)
@guarded
def core_score(
    context: dg.AssetExecutionContext,
    core_response: pl.DataFrame,
    core_item_response: pl.DataFrame,
    place: dg.ResourceParam[StudyContext],
) -> Iterator[dg.AssetCheckResult | dg.Output[Materialized]]:
    """A person's score on every scale of a wave, by contract."""
    wave = place.study.waves_by_id[context.partition_key]
    scores = score_wave(
        place.study, wave, response=core_response, item_response=core_item_response
    )
    scored = scores.filter(pl.col("value").is_not_null())
    scales = scores.get_column("scale").unique().to_list()
    outside = sum(
        scored.filter(
            (pl.col("scale") == s) & ~pl.col("value").is_between(*_widened(place, s))
        ).height
        for s in scales
    )
    yield dg.AssetCheckResult(
        passed=outside == 0,
        check_name="within_range",
        metadata={"scores outside": outside},
    )
    yield from stored(
        "score",
        scores,
        inputs=_wave_inputs(context, place),
        metadata={
            "scales": len(scales),
            "scores": scored.height,
            "not scored (missing rule)": scores.height - scored.height,
        },
    )


def _widened(place: StudyContext, scale: str) -> tuple[float, float]:
    """A scale's range, with room for rounding in the last digit."""
    low, high = place.study.scale_range(scale)
    room = 1e-9 * (high - low)
    return low - room, high + room


@dg.asset(
    deps=[
        *(dg.AssetDep(TABLES[t].produced_by) for t in ROSTER_TABLES),
        *(
            dg.AssetDep(TABLES[t].produced_by, partition_mapping=EVERY_WAVE)
            for t in (*WAVE_TABLES, "score")
        ),
    ],
    group_name="core",
    kinds={"duckdb"},
    tags={"layer": "core"},
)
@guarded
def core_database(
    place: dg.ResourceParam[StudyContext],
) -> Iterator[dg.MaterializeResult[None]]:
    """study.duckdb, built anew from the manifest and swapped in."""
    place.progress("publishing study.duckdb")
    place.store.publish()
    yield dg.MaterializeResult(
        metadata={
            "file": "study.duckdb",
            "size (bytes)": (place.folder / "study.duckdb").stat().st_size,
        }
    )
