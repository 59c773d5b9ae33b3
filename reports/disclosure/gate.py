"""The release gate: the only way from results to released values.

Fails closed: what it does not know stops the release. The rules stand in
``estimates`` and ``counts``; ``audit`` looks once more at what they let through.
"""

from __future__ import annotations

import polars as pl

from analyses.results import YearResults
from data_contracts.errors import DisclosureError
from data_contracts.policy import ReleasePolicy
from data_contracts.study import Study
from reports.disclosure.audit import check_released
from reports.disclosure.counts import (
    release_distribution,
    release_flow,
    release_set_aside,
    release_waves,
)
from reports.disclosure.estimates import (
    hidden_cells,
    release_contrasts,
    release_estimates,
    release_fits,
    release_refusals,
    release_variances,
    weak_models,
)
from reports.disclosure.facts import study_facts
from reports.disclosure.judging import Judging
from reports.disclosure.released import GATE_KEY, Release, Released
from reports.disclosure.schema import RELEASED, conform_result, finish

__all__ = ["release"]


def release(
    results: YearResults, study: Study, *, policy: ReleasePolicy | None = None
) -> Release:
    """Judge the results of one year and let through what betrays nobody.

    Cells of fewer people than the policy's minimum are suppressed: all their
    numbers are null, and the row says why. So are cells that would give them away,
    contrasts with such a cell on either side, and what describes a single
    community. Counts are rounded, estimates keep about 1/3000 of their scale.

    Args:
        results: Result tables, unrounded; people behind each row counted once.
        study: The study that they belong to.
        policy: Limits of the edition; the study's own where None.

    Returns:
        The release, with the table ``held_back`` of what stayed behind and why.

    Raises:
        DisclosureError: If a table is not as declared, a quantity, factor or outcome
            is unknown, or the finished release does not hold its own limits.
    """
    if not isinstance(results, YearResults):
        raise DisclosureError(
            f"The gate takes the results of a year; found {type(results).__name__}."
        )
    judging = Judging(
        study=study, facts=study_facts(study), policy=policy or study.policy
    )
    frames = {
        name: conform_result(name, getattr(results, name), year=results.analysis_year)
        for name in RELEASED
        if name != "held_back"
    }
    estimate = frames["estimate"]
    hidden = hidden_cells(_of_several(estimate), judging)
    weak = weak_models(frames["fit"], estimate, judging)
    shown = {
        "estimate": release_estimates(estimate, judging, hidden=hidden, weak=weak),
        "contrast": release_contrasts(
            frames["contrast"], judging, hidden=hidden, weak=weak
        ),
        "variance_component": release_variances(
            frames["variance_component"], judging, weak=weak
        ),
        "fit": release_fits(frames["fit"], judging, weak=weak),
        "refusal": release_refusals(frames["refusal"], judging),
        "distribution": release_distribution(
            frames["distribution"], judging, hidden=hidden
        ),
        "response_flow": release_flow(frames["response_flow"], judging),
        "wave": release_waves(frames["wave"], judging),
        "set_aside": release_set_aside(frames["set_aside"], judging),
    }
    shown["held_back"] = _held_back(shown, judging)
    check_released(shown, policy=judging.policy, facts=judging.facts)
    return Release(
        study=judging.facts,
        analysis_year=results.analysis_year,
        policy=judging.policy,
        tables={name: Released(name, f, key=GATE_KEY) for name, f in shown.items()},
        key=GATE_KEY,
    )


def _of_several(estimate: pl.DataFrame) -> pl.DataFrame:
    """Means of cells that may be shown at all; single communities never are."""
    parts = pl.col("by").str.split(":").list.eval(pl.element().str.strip_chars())
    return estimate.filter(~parts.list.contains("community"))


def _held_back(shown: dict[str, pl.DataFrame], judging: Judging) -> pl.DataFrame:
    """Count what stays behind: rows held whole and rows suppressed in place."""
    held = judging.held.copy()
    for name, frame in shown.items():
        by = next((c for c in ("by", "group", "academic_year") if c in frame), None)
        for row in frame.filter(pl.col("suppressed")).iter_rows(named=True):
            factor = row[by] if by in ("by", "group") else by
            held[(name, row.get("outcome"), factor, row["reason"])] += 1
    rows = [
        {
            "result_table": table,
            "outcome": outcome,
            "by": by,
            "reason_held": reason,
            "n_result_rows": count,
            "suppressed": False,
        }
        for (table, outcome, by, reason), count in held.items()
    ]
    return finish(
        "held_back", pl.DataFrame(rows, schema=dict(RELEASED["held_back"].schema))
    )
