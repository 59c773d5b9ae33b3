"""Rules that relate one section of study.yaml to another.

They read the plain data of the file, not the validated ``Study``, so that one run
names every mistake even where a section is broken. Shapes are ``study``'s matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.instrument import Instrument, load_instrument, shipped_instruments
from data_contracts.tables import TABLES
from data_contracts.yaml_source import Place

__all__ = ["Mistake", "cross_check"]

ROSTER_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "membership": (TABLES["membership"].key, TABLES["membership"].names),
    "participants": (TABLES["participant"].key, TABLES["participant"].names),
    "community_years": (TABLES["community_year"].key, TABLES["community_year"].names),
}
"""Required and allowed columns of each roster, by our names."""


@dataclass(frozen=True)
class Mistake:
    """A broken rule, before its line is known."""

    place: Place
    found: str
    expected: str
    action: str


def cross_check(data: Any) -> Iterator[Mistake]:
    """Yield every broken relation between sections.

    Args:
        data: Plain data of study.yaml; anything may be missing or misshapen.

    Yields:
        Mistakes in the order of the sections.
    """
    if not isinstance(data, Mapping):
        return
    yield from _years(data)
    yield from _unique_ids(data)
    yield from _instruments(data)
    yield from _rosters(data)
    yield from _waves(data)
    yield from _outcomes(data)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(
    data: Mapping[str, Any], section: str
) -> list[tuple[int, Mapping[str, Any]]]:
    value = data.get(section)
    if not isinstance(value, list):
        return []
    return [(i, v) for i, v in enumerate(value) if isinstance(v, Mapping)]


def _texts(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else []


def _ids(data: Mapping[str, Any], section: str) -> list[str]:
    return [str(v["id"]) for _, v in _items(data, section) if "id" in v]


def _one_of(names: list[str] | tuple[str, ...]) -> str:
    return f"one of {', '.join(names)}" if names else "a declared name (none is)"


def _years(data: Mapping[str, Any]) -> Iterator[Mistake]:
    years = _texts(data.get("academic_years"))
    for i, year in enumerate(years):
        first, _, last = year.partition("-")
        if not (first.isdigit() and last.isdigit()):
            continue  # the shape check names it
        if (int(first) + 1) % 100 != int(last):
            yield Mistake(
                ("academic_years", i),
                f"{year}",
                f"{first}-{(int(first) + 1) % 100:02d}",
                "An academic year ends one year after it starts.",
            )
    if years != sorted(set(years)):
        yield Mistake(
            ("academic_years",),
            "years out of order or repeated",
            "each year once, the earliest first",
            "Put them in order.",
        )


def _unique_ids(data: Mapping[str, Any]) -> Iterator[Mistake]:
    for section in ("communities", "covariates", "waves", "outcomes", "models"):
        seen: set[str] = set()
        for i, entry in _items(data, section):
            name = str(entry.get("id"))
            if name in seen:
                yield Mistake(
                    (section, i, "id"),
                    f"{name!r} a second time",
                    "every id once",
                    "Rename one, or remove it if it is the same thing twice.",
                )
            seen.add(name)
    for section in ("class_years", "campuses"):
        for name, count in Counter(_texts(data.get(section))).items():
            if count > 1:
                yield Mistake(
                    (section,), f"{name!r} {count} times", "every name once",
                    "Remove the repeats.",
                )  # fmt: skip


def _contract(use: Mapping[str, Any]) -> Instrument | None:
    name = use.get("contract")
    return load_instrument(str(name)) if name in shipped_instruments() else None


def _instruments(data: Mapping[str, Any]) -> Iterator[Mistake]:
    for name, raw in _mapping(data.get("instruments")).items():
        use = _mapping(raw)
        place: Place = ("instruments", name)
        if "contract" in use and use["contract"] not in shipped_instruments():
            yield Mistake(
                (*place, "contract"),
                f"the unknown instrument {use['contract']!r}",
                _one_of(shipped_instruments()),
                "Name a shipped instrument, or declare a measure.",
            )
        contract = _contract(use)
        if contract is None:
            continue
        coding = use.get("coding")
        codings = tuple(contract.codings)
        if coding is None and len(codings) > 1:
            yield Mistake(
                place,
                "no coding",
                _one_of(codings),
                f"Say which way {contract.id} was coded; the reversed items depend "
                "on it.",
            )
        if coding is not None and coding not in codings:
            yield Mistake(
                (*place, "coding"), f"{coding!r}", _one_of(codings),
                "Name one of the contract's codings.",
            )  # fmt: skip
        yield from _minimum_answered(place, use, contract)


def _minimum_answered(
    place: Place, use: Mapping[str, Any], contract: Instrument
) -> Iterator[Mistake]:
    declared = _mapping(use.get("minimum_answered"))
    scales = {s.id: s for s in contract.scales}
    for scale_id, least in declared.items():
        scale = scales.get(scale_id)
        if scale is None:
            yield Mistake(
                (*place, "minimum_answered", scale_id),
                f"the unknown scale {scale_id!r}",
                _one_of(tuple(scales)),
                f"Name a scale of {contract.id}.",
            )
        elif isinstance(least, int) and least > len(scale.items):
            yield Mistake(
                (*place, "minimum_answered", scale_id),
                f"{least}",
                f"at most {len(scale.items)}, the items of the scale",
                "Lower it.",
            )
    for scale in contract.scales:
        if scale.minimum_answered is None and scale.id not in declared:
            yield Mistake(
                place,
                f"no minimum_answered for {scale.id}",
                f"a number from 1 to {len(scale.items)}",
                "No rule is agreed for this scale, so the study must declare one: "
                f"minimum_answered: {{{scale.id}: {len(scale.items)}}}.",
            )


def _rosters(data: Mapping[str, Any]) -> Iterator[Mistake]:
    rosters = _mapping(data.get("rosters"))
    if rosters and _mapping(data.get("key")).get("kind") == "none":
        yield Mistake(
            ("rosters",),
            "a roster in a study without person keys",
            "a key, or no roster",
            "Declare how a person is known, or remove the rosters.",
        )
    for name, (required, allowed) in ROSTER_COLUMNS.items():
        columns = _mapping(_mapping(rosters.get(name)).get("columns"))
        if not columns:
            continue
        place: Place = ("rosters", name, "columns")
        for column in columns:
            if column not in allowed:
                yield Mistake(
                    (*place, column), f"the unknown column {column!r}",
                    _one_of(allowed), "Remove it or use one of ours.",
                )  # fmt: skip
        for column in required:
            if column not in columns:
                yield Mistake(
                    place, f"no {column}", f"a column for {column}",
                    f"Say which column of the file holds {column}.",
                )  # fmt: skip


def _waves(data: Mapping[str, Any]) -> Iterator[Mistake]:
    years = _texts(data.get("academic_years"))
    uses = _mapping(data.get("instruments"))
    covariates = _ids(data, "covariates")
    unlinked = _mapping(data.get("key")).get("kind") == "none"
    for i, wave in _items(data, "waves"):
        place: Place = ("waves", i)
        if "academic_year" in wave and str(wave["academic_year"]) not in years:
            yield Mistake(
                (*place, "academic_year"),
                f"{wave['academic_year']!r}",
                _one_of(years),
                "Add the year to academic_years or mend it here.",
            )
        columns = _mapping(wave.get("columns"))
        if unlinked and columns.get("key") is not None:
            yield Mistake(
                (*place, "columns", "key"),
                "a key column in a study with key: none",
                "no key column",
                "Remove it, or declare the kind of key.",
            )
        if not unlinked and "columns" in wave and columns.get("key") is None:
            yield Mistake(
                (*place, "columns"),
                "no key",
                "the column that holds the person's key",
                "Name it, or declare key: {kind: none}.",
            )
        for name in _mapping(columns.get("covariates")):
            if name not in covariates:
                yield Mistake(
                    (*place, "columns", "covariates", name),
                    f"the undeclared covariate {name!r}",
                    _one_of(covariates),
                    "Declare it under covariates.",
                )
        for name, raw in _mapping(wave.get("instruments")).items():
            here: Place = (*place, "instruments", name)
            if name not in uses:
                yield Mistake(
                    here, f"the undeclared instrument {name!r}",
                    _one_of(tuple(uses)), "Declare it under instruments.",
                )  # fmt: skip
                continue
            yield from _wave_items(here, _mapping(raw), _mapping(uses[name]))


def _wave_items(
    place: Place, entry: Mapping[str, Any], use: Mapping[str, Any]
) -> Iterator[Mistake]:
    contract = _contract(use)
    n_items = contract.n_items if contract is not None else 1
    items = entry.get("items")
    if isinstance(items, str) and n_items > 1 and "{n}" not in items:
        yield Mistake(
            (*place, "items"),
            f"{items!r}",
            "a pattern with {n} for the item position, such as Q5_{n}",
            "Write the pattern, or list the columns in the instrument's order.",
        )
    if isinstance(items, list) and len(items) != n_items:
        yield Mistake(
            (*place, "items"),
            f"{len(items)} columns",
            f"{n_items}, the items of the instrument in its own order",
            "List every item's column once.",
        )
    if isinstance(items, list) and len(set(map(str, items))) != len(items):
        yield Mistake(
            (*place, "items"), "a column twice", "every item's column once",
            "Remove the repeat.",
        )  # fmt: skip
    coding = entry.get("coding")
    if coding is not None and contract is not None and coding not in contract.codings:
        yield Mistake(
            (*place, "coding"), f"{coding!r}", _one_of(tuple(contract.codings)),
            "Name one of the contract's codings.",
        )  # fmt: skip


def _scale_ids(data: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, raw in _mapping(data.get("instruments")).items():
        use = _mapping(raw)
        contract = _contract(use)
        if contract is not None:
            found.extend(f"{name}.{s.id}" for s in contract.scales)
        elif "measure" in use:
            found.append(f"{name}.score")
    return found


def _outcomes(data: Mapping[str, Any]) -> Iterator[Mistake]:
    scales = _scale_ids(data)
    for i, outcome in _items(data, "outcomes"):
        if "scale" in outcome and str(outcome["scale"]) not in scales:
            yield Mistake(
                ("outcomes", i, "scale"),
                f"the unknown scale {outcome['scale']!r}",
                _one_of(scales),
                "Name a scale of a declared instrument.",
            )
    outcomes = _ids(data, "outcomes")
    for i, model in _items(data, "models"):
        for j, name in enumerate(_texts(model.get("outcomes"))):
            if name not in outcomes:
                yield Mistake(
                    ("models", i, "outcomes", j),
                    f"the undeclared outcome {name!r}",
                    _one_of(outcomes),
                    "Declare it under outcomes.",
                )
    for i, primary in _items(data, "primary"):
        yield from _primary(data, ("primary", i), primary, outcomes)


def _primary(
    data: Mapping[str, Any],
    place: Place,
    primary: Mapping[str, Any],
    outcomes: list[str],
) -> Iterator[Mistake]:
    if "outcome" in primary and str(primary["outcome"]) not in outcomes:
        yield Mistake(
            (*place, "outcome"),
            f"the undeclared outcome {primary['outcome']!r}",
            _one_of(outcomes),
            "Declare it under outcomes.",
        )
    section = {"academic_year": "academic_years", "class_year": "class_years"}.get(
        str(primary.get("by"))
    )
    levels = _texts(data.get(section)) if section else []
    for side in ("level", "reference"):
        if section and side in primary and str(primary[side]) not in levels:
            yield Mistake(
                (*place, side), f"{primary[side]!r}", _one_of(levels),
                f"Name a level of {section}.",
            )  # fmt: skip
    if primary.get("level") is not None and (
        primary.get("level") == primary.get("reference")
    ):
        yield Mistake(
            place, "a level compared with itself", "two different levels",
            "Name another reference.",
        )  # fmt: skip
