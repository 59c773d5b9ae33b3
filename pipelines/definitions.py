"""The code location: assets, jobs, sensor and resources, wired for one study.

Holds no logic. Loads without a study, so that the UI opens before there is one.
"""

from __future__ import annotations

import dagster as dg

from assets import core, out, raw
from assets.context import StudyContext
from assets.notebooks import notebook_assets
from pipelines.io import TableIOManager
from pipelines.jobs import notebooks, refresh_rosters, refresh_wave, yearly_report
from pipelines.opening import open_context
from pipelines.sensors import partitions_in_step
from pipelines.settings import study_folder
from pipelines.store import StudyStore

__all__ = ["defs", "wired"]


@dg.resource(description="The study that LCWAVES_STUDY selects, opened for a run.")
def _place(context: dg.InitResourceContext) -> StudyContext:
    log = context.log
    return open_context(
        study_folder(), progress=log.info if log is not None else lambda _: None
    )


@dg.io_manager(description="Tables in the study's store.")
def _tables(_context: dg.InitResourceContext) -> TableIOManager:
    return TableIOManager(StudyStore(study_folder()))


def wired(place: StudyContext | None = None) -> dg.Definitions:
    """All definitions: of a study already open, or of the one the settings select."""
    resources = (
        {"place": _place, "io_manager": _tables}
        if place is None
        else {
            "place": place,
            "io_manager": TableIOManager(StudyStore(place.folder)),
        }
    )
    return dg.Definitions(
        assets=[
            *dg.load_assets_from_modules([raw, core, out]),
            *notebook_assets(),
        ],
        jobs=[notebooks, refresh_rosters, refresh_wave, yearly_report],
        sensors=[partitions_in_step],
        resources=resources,
        # In-process: twelve assets take seconds, and imports are paid once.
        executor=dg.in_process_executor,
    )


defs = wired()
