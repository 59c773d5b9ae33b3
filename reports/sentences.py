"""Findings, methods and limits in plain words, made from released rows alone.

A direction is named only where the adjusted 95% interval excludes zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from reports.disclosure import Release, require_release
from reports.wording import (
    DASH,
    count,
    decimals_shown,
    direction,
    interval,
    level_words,
    mid_sentence,
    number,
)

__all__ = [
    "Finding",
    "contrast_finding",
    "limits",
    "methods",
    "primary_findings",
    "refusals",
    "title_finding",
]

Row = Mapping[str, object]

_MANY_COMMUNITIES = 50
"""From here on large-sample z is no longer called too short (a rule of thumb)."""

_WHO_ANSWERED = (
    "These are answers of those who answered. If people who did worse answered less, "
    "the means look better than the school is."
)
_NO_EFFECT = (
    "Nobody was assigned by chance to a year, a class year or a community: a "
    "difference is not an effect of any programme."
)


@dataclass(frozen=True)
class Finding:
    """One finding in words.

    Attributes:
        outcome: Outcome id.
        title: Short form, fit for a figure's title.
        sentence: Full sentence with the interval.
        clear: Whether the adjusted interval excludes zero.
        sign: -1, 0 or 1.
        meaning: ``better``, ``worse`` or empty.
    """

    outcome: str
    title: str
    sentence: str
    clear: bool
    sign: int = 0
    meaning: str = ""


def primary_findings(release: Release) -> tuple[Finding, ...]:
    """All declared primary contrasts, in declared order, null or not.

    A primary that was not estimated or is held back says so.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    release = require_release(release)
    rows = release.rows("contrast")
    # Of several families the row of the declared primaries comes first.
    rows = rows.sort(pl.col("primary_order").is_null(), maintain_order=True)
    found = []
    for primary in release.study.primaries:
        match = rows.filter(
            (pl.col("outcome") == primary.outcome)
            & (pl.col("by") == primary.by)
            & (pl.col("level") == primary.level)
            & (pl.col("reference") == primary.reference)
        )
        if match.height:
            found.append(contrast_finding(release, match.row(0, named=True)))
        else:
            label = release.outcome(primary.outcome).label
            where = f"{primary.level} against {primary.reference}"
            found.append(
                Finding(
                    outcome=primary.outcome,
                    title=f"{label}: {where} was not estimated",
                    sentence=(
                        f"{label}, {where}: not estimated with the waves up to "
                        f"{release.analysis_year}."
                    ),
                    clear=False,
                )
            )
    return tuple(found)


def contrast_finding(release: Release, row: Row) -> Finding:
    """One released contrast in words.

    Args:
        release: The release that the row is from.
        row: A row of its table ``contrast``.
    """
    facts = require_release(release).outcome(str(row["outcome"]))
    label = mid_sentence(facts.label)
    by = str(row["by"])
    level, reference = (level_words(by, str(row[c])) for c in ("level", "reference"))
    over_time = by == "academic_year"
    kind = "change" if over_time else "difference"
    span = f"from {reference} to {level}"
    between = span if over_time else f"between {reference} and {level}"
    if row["suppressed"]:
        return Finding(
            outcome=facts.id,
            title=f"{facts.label} {between}: not shown",
            sentence=f"{facts.label} {between}: not shown ({row['reason']}).",
            clear=False,
        )
    low, high = _limits(row)
    size = _real(row["estimate"])
    places = decimals_shown(facts, low, high)
    sign = direction(low, high)
    ends = interval(low, high, places)
    if sign == 0 or size is None:
        return Finding(
            outcome=facts.id,
            title=f"No clear {kind} in {label} {between} ({ends})",
            sentence=(
                f"No clear {kind} in {label} {between}: the estimate is "
                f"{number(size, places)} points, the adjusted 95% interval {ends}."
            ),
            clear=False,
        )
    amount = f"{number(abs(size), places)} points"
    verb = ("rose" if sign > 0 else "fell") if over_time else "was"
    how = "" if over_time else (" higher" if sign > 0 else " lower")
    meaning = _meaning(facts.higher_is, sign)
    core = (
        f"{facts.label} {verb} by {amount} {span}"
        if over_time
        else f"{facts.label} {verb} {amount}{how} in {level} than in {reference}"
    )
    aside = f", a change for the {meaning}" if meaning and over_time else ""
    aside = f", which is {meaning}" if meaning and not over_time else aside
    return Finding(
        outcome=facts.id,
        title=core,
        sentence=f"{core}{aside} (adjusted 95% interval {ends}).",
        clear=True,
        sign=sign,
        meaning=meaning,
    )


def title_finding(release: Release, outcome: str, *, by: str) -> Finding | None:
    """The finding that titles a figure of one outcome.

    The declared primary by that factor, otherwise the last level shown against the
    first; None where there is no such contrast.
    """
    release = require_release(release)
    order = {
        "academic_year": release.study.academic_years,
        "class_year": release.study.class_years,
    }[by]
    rows = release.rows("contrast").filter(
        (pl.col("outcome") == outcome) & (pl.col("by") == by)
    )
    if rows.is_empty():
        return None
    primary = rows.filter(pl.col("primary_order").is_not_null())
    if primary.height:
        return contrast_finding(release, primary.row(0, named=True))
    places = {level: i for i, level in enumerate(order)}
    widest = max(
        rows.iter_rows(named=True),
        key=lambda r: places.get(r["level"], 0) - places.get(r["reference"], 0),
    )
    return contrast_finding(release, widest)


def methods(release: Release) -> tuple[str, ...]:
    """The methods in words, one paragraph per string, from the fit records.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    release = require_release(release)
    order = {o.id: i for i, o in enumerate(release.study.outcomes)}
    fits = release.rows("fit").filter(~pl.col("suppressed"))
    fits = fits.sort(pl.col("outcome").replace_strict(order, return_dtype=pl.Int64))
    step = release.policy.rounding_base
    words = []
    for (model, engine), rows in fits.group_by("model", "engine", maintain_order=True):
        names = [mid_sentence(release.outcome(o).label) for o in rows["outcome"]]
        first = rows.row(0, named=True)
        right = str(first["formula"]).partition("~")[2].strip() or first["formula"]
        people = _span(rows["n_people"])
        answers = _span(rows["n_answers"])
        text = (
            f"Model {model}: {_listed(names)} {'was' if len(names) == 1 else 'were'} "
            f"each modelled as {right} with {engine}, on {answers} answers of "
            f"{people} people"
        )
        communities = rows["n_communities"].drop_nulls()
        text += f" in {communities[0]} communities." if len(communities) else "."
        dropped = [d for d in rows["n_dropped"] if d]
        if dropped:
            text += (
                f" Incomplete responses were left out (up to "
                f"{count(max(dropped))} in one outcome)."
            )
        words.append(text)
        words += _model_cautions(release, rows)
    words.append(_inference(release))
    words.append(
        f"Counts are people, not rows, and are rounded to the nearest {step}; "
        "percentages are made from rounded counts. Cells of fewer than "
        f"{release.policy.minimum_cell} people, and cells that would give them away, "
        "are not shown."
    )
    return tuple(words)


def refusals(release: Release) -> tuple[str, ...]:
    """One sentence a model that could not be fitted: which, of what, and why.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    release = require_release(release)
    words = []
    for row in release.rows("refusal").iter_rows(named=True):
        label = mid_sentence(release.outcome(row["outcome"]).label)
        words.append(
            f"Model {row['model']} of {label} ({row['formula']}) was not fitted. "
            f"{row['note']}"
        )
    return tuple(words)


def _model_cautions(release: Release, rows: pl.DataFrame) -> list[str]:
    words = []
    singular = [
        mid_sentence(release.outcome(o).label)
        for o in rows.filter(pl.col("is_singular"))["outcome"]
    ]
    if singular:
        words.append(
            f"Singular fit for {_listed(singular)}: a variance was estimated as "
            "exactly 0, which is common with few communities. It means that no "
            "spread could be told apart from chance, not that there is none."
        )
    failed = [
        mid_sentence(release.outcome(o).label)
        for o in rows.filter(~pl.col("converged"))["outcome"]
    ]
    if failed:
        words.append(
            f"The optimiser did not report convergence for {_listed(failed)}: do not "
            "rely on these numbers."
        )
    sentences = [
        sentence
        for note in rows["note"].drop_nulls()
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", note)
    ]
    return words + list(dict.fromkeys(s for s in sentences if s))


def _inference(release: Release) -> str:
    rows = pl.concat(
        release.rows(t).filter(~pl.col("suppressed")).select("df", "df_method")
        for t in ("contrast", "estimate")
    )
    methods_named = rows["df_method"].drop_nulls().unique().sort().to_list()
    large_sample = any(math.isinf(d) for d in rows["df"].drop_nulls())
    families = release.rows("contrast")["adjustment"].drop_nulls().unique().sort()
    text = "Intervals are 95% intervals"
    if methods_named:
        text += f" (degrees of freedom: {_listed([str(m) for m in methods_named])})"
    text += "."
    if large_sample:
        text += (
            " Tests and intervals of the mixed models are large-sample z: they take "
            "the variances as known."
        )
        counts = release.rows("fit")["n_communities"].drop_nulls()
        fewest = min((int(n) for n in counts), default=_MANY_COMMUNITIES)
        if fewest < _MANY_COMMUNITIES:
            text += (
                f" {fewest} communities are few: for anything that varies between "
                "communities, z intervals are too short and p values too small."
            )
    if len(families):
        text += f" Contrasts are adjusted for multiplicity: {_listed(list(families))}."
    return text


def limits(release: Release) -> tuple[str, ...]:
    """What this report cannot say, one sentence per string.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    study = require_release(release).study
    words = [_WHO_ANSWERED, _NO_EFFECT]
    if len(study.academic_years) > 1:
        words.append(
            "A change that came to the whole school at once cannot be told apart from "
            "the year in which it came; with a handful of years its interval is too "
            "short."
        )
    if study.linked and len(study.class_years) > 1:
        words.append(
            "Cohort is academic year minus class year: linear trends of all three "
            "cannot be told apart, and none is claimed."
        )
    if not study.linked:
        words.append(
            "People cannot be followed from wave to wave in this study, so nothing is "
            "said about change within a person."
        )
    if study.n_communities:
        words.append(
            "The spread between communities is one number for all of them. Nothing "
            "here says how any single community does."
        )
    if not study.has_roster:
        words.append(
            "Without a roster nobody knows who was asked, so the response flow begins "
            "with those who answered."
        )
    if study.synthetic:
        words.append("The data are invented; nothing here describes a real person.")
    return tuple(words)


def _limits(row: Row) -> tuple[float | None, float | None]:
    """Adjusted limits; those of the plain interval where nothing was adjusted."""
    if row["adjusted_low"] is None:
        return _real(row["conf_low"]), _real(row["conf_high"])
    return _real(row["adjusted_low"]), _real(row["adjusted_high"])


def _real(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _meaning(higher_is: str, sign: int) -> str:
    if higher_is == "neither" or sign == 0:
        return ""
    return "better" if (higher_is == "better") == (sign > 0) else "worse"


def _span(values: pl.Series) -> str:
    known = [int(v) for v in values if v is not None]
    if not known:
        return DASH
    low, high = min(known), max(known)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def _listed(words: list[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
