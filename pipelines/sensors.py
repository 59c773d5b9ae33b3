"""Sensors: partitions kept in step with study.yaml."""

from __future__ import annotations

import dagster as dg

from assets.partitions import ANALYSIS_YEARS, WAVES
from data_contracts.errors import LcwavesError
from data_contracts.study import Study
from data_contracts.study_file import load_study
from pipelines.settings import study_folder

__all__ = ["partitions_in_step", "sync_partitions"]


def sync_partitions(instance: dg.DagsterInstance, study: Study) -> None:
    """Make the instance's partitions those of the study file."""
    for requests in _changes(instance, study):
        if isinstance(requests, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(
                requests.partitions_def_name, list(requests.partition_keys)
            )
        else:
            for key in requests.partition_keys:
                instance.delete_dynamic_partition(requests.partitions_def_name, key)


def _changes(
    instance: dg.DagsterInstance, study: Study
) -> list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]:
    declared = {
        WAVES: [w.id for w in study.waves],
        ANALYSIS_YEARS: list(study.academic_years),
    }
    changes: list[
        dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest
    ] = []
    for definition, keys in declared.items():
        present = definition.get_partition_keys(dynamic_partitions_store=instance)
        if new := [k for k in keys if k not in present]:
            changes.append(definition.build_add_request(new))
        if gone := [k for k in present if k not in keys]:
            changes.append(definition.build_delete_request(gone))
    return changes


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def partitions_in_step(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Keep waves and analysis years in step with study.yaml."""
    try:
        study = load_study(study_folder())
    except LcwavesError as error:
        return dg.SensorResult(skip_reason=str(error))
    return dg.SensorResult(
        dynamic_partitions_requests=_changes(context.instance, study)
    )
