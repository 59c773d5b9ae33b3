"""The jobs that people start: rosters, one wave, one year's report, notebooks."""

from __future__ import annotations

import dagster as dg

from assets.core import ROSTER_TABLES, WAVE_TABLES
from assets.out import RESULT_TABLES
from data_contracts.tables import TABLES

__all__ = ["notebooks", "refresh_rosters", "refresh_wave", "yearly_report"]


def _produced(names: tuple[str, ...]) -> list[str]:
    return [TABLES[n].produced_by for n in names]


refresh_rosters = dg.define_asset_job(
    "refresh_rosters",
    selection=[
        "raw_membership",
        "raw_participants",
        "raw_community_years",
        *_produced(ROSTER_TABLES),
    ],
    description="Read the rosters again and make the tables of people anew.",
)

refresh_wave = dg.define_asset_job(
    "refresh_wave",
    selection=["raw_wave", *_produced(WAVE_TABLES), "core_score", "core_database"],
    description="Read one wave again, check, score and publish it.",
)

yearly_report = dg.define_asset_job(
    "yearly_report",
    selection=[*_produced(RESULT_TABLES), "out_database", "out_report"],
    description="Analyse the waves up to an academic year and write its draft report.",
)

notebooks = dg.define_asset_job(
    "notebooks",
    selection=dg.AssetSelection.groups("notebooks"),
    description="Run the students' notebooks on the published tables of a year.",
)
