"""The out layer: result rows as of an academic year, and the gated draft report."""

import base64
from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from analyses.crosscheck import crosscheck_study
from analyses.descriptives import distribution
from analyses.flow import response_flow
from analyses.frames import model_frame
from analyses.results import YearResults
from analyses.wellbeing import analyse_year
from assets.context import Materialized, StudyContext
from assets.declared import check_specs, guarded, stored, table_out
from assets.partitions import ANALYSIS_YEARS, EVERY_WAVE
from data_contracts.errors import DataError
from data_contracts.tables import TABLES, empty
from reports.bundle import Draft, preview_png, write_draft
from reports.disclosure import release
from reports.provenance import Provenance, WaveFile

__all__ = ["out_database", "out_report", "out_results"]

RESULT_TABLES = (
    "estimate", "contrast", "variance_component", "fit", "refusal", "distribution",
    "response_flow",
)  # fmt: skip
ROSTER_TABLES = ("participant", "membership")
WAVE_TABLES = ("wave", "response", "covariate", "score", "quarantine")


@dg.multi_asset(
    partitions_def=ANALYSIS_YEARS,
    outs={t: table_out(t, kinds=frozenset({"python", "parquet"}))
          for t in RESULT_TABLES},
    deps=[
        *(dg.AssetDep(TABLES[t].produced_by) for t in ROSTER_TABLES),
        *(
            dg.AssetDep(TABLES[t].produced_by, partition_mapping=EVERY_WAVE)
            for t in WAVE_TABLES
        ),
    ],
    check_specs=[
        *check_specs(*RESULT_TABLES),
        dg.AssetCheckSpec(
            "agrees_with_statsmodels",
            asset="out_fit",
            description="statsmodels' MixedLM finds the same fixed effects, where it "
            "can express the model (students within communities).",
        ),
    ],
    group_name="out",
    op_tags={"layer": "out"},
)  # fmt: skip
@guarded
def out_results(
    context: dg.AssetExecutionContext, place: dg.ResourceParam[StudyContext]
) -> Iterator[dg.AssetCheckResult | dg.Output[Materialized]]:
    """Means, contrasts, variances and the response flow as of an academic year."""
    year = context.partition_key
    waves = [w.id for w in place.study.waves_up_to(year)]
    digest = place.store.pin_year(waves).digest
    core = {t: _pinned(place, t, waves=waves, digest=digest) for t in WAVE_TABLES}
    people = {t: _pinned(place, t, waves=[], digest=digest) for t in ROSTER_TABLES}
    if core["wave"].is_empty():
        raise DataError(
            f"analysis year {year}: found no materialized wave up to it; expected at "
            "least one. Materialize the waves first (job refresh_wave)."
        )
    frame = model_frame(
        place.study,
        analysis_year=year,
        response=core["response"],
        score=core["score"],
        covariate=core["covariate"],
        membership=people["membership"],
        participant=people["participant"],
    )
    place.progress(f"{year}: fitting the models")
    modelled = analyse_year(place.study, frame=frame, progress=place.progress)
    place.progress(f"{year}: a second opinion by statsmodels")
    second = crosscheck_study(place.study, frame)
    yield dg.AssetCheckResult(
        passed=second.agrees,
        asset_key="out_fit",
        check_name="agrees_with_statsmodels",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "model": second.model,
            "compared": second.compared,
            "largest difference of a fixed effect (standard errors)": (
                second.largest_difference
            ),
            "our criterion less theirs": second.criterion_difference,
        },
    )
    tables = {
        "estimate": modelled.estimate,
        "contrast": modelled.contrast,
        "variance_component": modelled.variance_component,
        "fit": modelled.fit,
        "refusal": modelled.refusal,
        "distribution": distribution(place.study, frame),
        "response_flow": response_flow(
            place.study, frame, membership=people["membership"]
        ),
    }
    inputs = place.year_inputs(digest)
    for name, rows in tables.items():
        yield from stored(name, rows, inputs=inputs, output=name)


def _pinned(
    place: StudyContext, table: str, *, waves: list[str], digest: str
) -> pl.DataFrame:
    rows = place.store.read_pinned(table, waves, digest)
    return empty(table) if rows is None else rows


@dg.asset(
    partitions_def=ANALYSIS_YEARS,
    deps=[TABLES[t].produced_by for t in RESULT_TABLES],
    group_name="out",
    kinds={"plotly"},
    tags={"layer": "out"},
)
@guarded
def out_report(
    context: dg.AssetExecutionContext, place: dg.ResourceParam[StudyContext]
) -> Iterator[dg.MaterializeResult[None]]:
    """The draft report of an academic year: what the release gate lets through.

    `lcwaves release` promotes it.
    """
    year = context.partition_key
    waves = [w.id for w in place.study.waves_up_to(year)]
    # Not today's waves but those that the results were computed from.
    manifest = _analysed_manifest(place, year)
    received = _pinned(place, "wave", waves=waves, digest=manifest)
    quarantine = pl.concat(
        [
            _pinned(place, "quarantine", waves=waves, digest=manifest),
            _pinned(place, "roster_quarantine", waves=[], digest=manifest),
        ]
    )
    results = YearResults(
        analysis_year=year,
        **{name: _result(place, name, year=year) for name in RESULT_TABLES},
        wave=received,
        set_aside=quarantine.group_by("source", "rule", "extent")
        .agg(n_rows=pl.len().cast(pl.Int64))
        .sort("source", "rule", "extent"),
    )
    place.progress(f"{year}: release gate")
    released = release(results, place.study)
    draft = write_draft(
        place.folder,
        released,
        _provenance(place, manifest, received),
        figures=place.figures,
        progress=place.progress,
    )
    yield dg.MaterializeResult(metadata=_report_metadata(draft))


def _analysed_manifest(place: StudyContext, year: str) -> str:
    """Digest of the manifest that the year's result tables were computed from."""
    entries = [
        e for t in RESULT_TABLES for e in place.store.of(t) if e.partition == year
    ]
    manifests = {e.inputs["manifest"] for e in entries}
    if len(entries) != len(RESULT_TABLES) or len(manifests) != 1:
        raise DataError(
            f"analysis year {year}: found {len(entries)} result tables of "
            f"{len(manifests)} analyses; expected {len(RESULT_TABLES)} of one. Start "
            "the job yearly_report."
        )
    return manifests.pop()


def _result(place: StudyContext, table: str, *, year: str) -> pl.DataFrame:
    rows = place.store.read(table, [year])
    return empty(table) if rows is None else rows


def _provenance(
    place: StudyContext, manifest: str, received: pl.DataFrame
) -> Provenance:
    files = received.sort("opened", "wave").select(
        "wave", "file", "file_format", "file_digest"
    )
    return Provenance(
        manifest_digest=manifest,
        study_digest=place.study_digest,
        code_version=place.code_version,
        code_digest=place.code_digest,
        packages=dict(place.packages),
        waves=tuple(
            WaveFile(wave=w, file=f, file_format=k, digest=d)
            for w, f, k, d in files.iter_rows()
        ),
    )


def _report_metadata(draft: Draft) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "report": dg.MetadataValue.path(str(draft.page)),
        "draft digest": draft.digest,
        "rows held back": draft.n_held_back,
    }
    preview = preview_png(draft.folder)
    if preview is not None:
        picture = base64.b64encode(preview).decode()
        metadata["main figure"] = dg.MetadataValue.md(
            f"![main figure of the report](data:image/png;base64,{picture})"
        )
    elif draft.note is not None:
        metadata["main figure"] = draft.note
    return metadata


@dg.asset(
    partitions_def=ANALYSIS_YEARS,
    deps=[TABLES[t].produced_by for t in RESULT_TABLES],
    group_name="out",
    kinds={"duckdb"},
    tags={"layer": "out"},
)
@guarded
def out_database(
    place: dg.ResourceParam[StudyContext],
) -> Iterator[dg.MaterializeResult[None]]:
    """study.duckdb with the year's result rows, built anew and swapped in."""
    place.progress("publishing study.duckdb")
    place.store.publish()
    yield dg.MaterializeResult(metadata={"file": "study.duckdb"})
