"""Instruments: one YAML per version, loaded whole and resolved for one study.

An instrument says what an answer means: range, coding direction, reverse items,
scales, missing-item rule, cut-offs, each with its certainty and citation. What is
unsure in the literature is not filled in here: the study must declare it.
Item texts are not shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    model_validator,
)

from data_contracts.errors import InternalError, Problem, StudyFileError
from data_contracts.yaml_source import dotted, read_yaml

__all__ = [
    "Coding",
    "Cutoff",
    "Instrument",
    "Licence",
    "ResponseRange",
    "Scale",
    "load_instrument",
    "shipped_instruments",
]

Certainty = Literal["V", "C", "K", "U"]
"""V seen in a source, C computed from data, K well known, U unsure."""

Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResponseRange(_Frozen):
    """Range of a single answer as coded in the file."""

    minimum: float
    maximum: float
    whole_numbers: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be below maximum")
        return self


class Coding(_Frozen):
    """One coding direction and the items that it makes run the other way."""

    meaning: str
    reverse: tuple[StrictInt, ...] = ()
    certainty: Certainty


class Cutoff(_Frozen):
    """A published threshold on a scale; never applied unless a study asks."""

    id: Identifier
    label: str
    at_least: float
    certainty: Certainty
    citation: str


class Scale(_Frozen):
    """One scale: which items, how they combine, how many must be answered.

    Attributes:
        minimum_answered: Fewest answered items for a score; None where no rule is
            known, so that the study must declare one.
        combine: ``mean`` of the answered items, or ``sum`` (person mean of the
            answered items times the number of items).
    """

    id: Identifier
    label: str
    items: Annotated[tuple[StrictInt, ...], Field(min_length=1)]
    combine: Literal["mean", "sum"]
    minimum_answered: Annotated[int, Field(ge=1)] | None
    missing_rule: str
    higher_is: Literal["better", "worse", "neither"]
    certainty: Certainty
    cutoffs: tuple[Cutoff, ...] = ()


class Licence(_Frozen):
    """Who owns the items and what may be shipped."""

    owner: str
    note: str
    item_text_may_ship: bool
    certainty: Certainty


class Instrument(_Frozen):
    """A whole instrument version, checked whole when loaded."""

    id: Identifier
    version: str
    title: str
    concept: str
    n_items: Annotated[int, Field(ge=1)]
    response: ResponseRange
    codings: Annotated[dict[Identifier, Coding], Field(min_length=1)]
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)]
    citation: str
    licence: Licence
    sensitive_items: tuple[StrictInt, ...] = ()
    notes: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        positions = range(1, self.n_items + 1)
        for name, coding in self.codings.items():
            _positions(coding.reverse, positions, f"codings.{name}.reverse")
        ids = [s.id for s in self.scales]
        if len(ids) != len(set(ids)):
            raise ValueError("two scales have the same id")
        for scale in self.scales:
            _positions(scale.items, positions, f"scale {scale.id}")
            least = scale.minimum_answered
            if least is not None and least > len(scale.items):
                raise ValueError(
                    f"scale {scale.id}: minimum_answered {least} is more than its "
                    f"{len(scale.items)} items"
                )
        _positions(self.sensitive_items, positions, "sensitive_items")
        return self


def _positions(items: tuple[int, ...], allowed: range, where: str) -> None:
    if len(set(items)) != len(items):
        raise ValueError(f"{where}: an item stands twice")
    if outside := sorted(set(items) - set(allowed)):
        raise ValueError(
            f"{where}: no such item {outside}; items are {allowed[0]} to {allowed[-1]}"
        )


@lru_cache(maxsize=1)
def shipped_instruments() -> tuple[str, ...]:
    """Ids of the instruments that lcwaves ships.

    Examples:
        >>> "olbi" in shipped_instruments()
        True
    """
    folder = resources.files("data_contracts.instruments")
    return tuple(
        sorted(
            f.name.removesuffix(".yaml")
            for f in folder.iterdir()
            if f.name.endswith(".yaml")
        )
    )


@lru_cache
def load_instrument(name: str) -> Instrument:
    """Load a shipped instrument, checked whole.

    Args:
        name: One of ``shipped_instruments()``.

    Returns:
        The instrument.

    Raises:
        StudyFileError: If no such instrument is shipped.
        InternalError: If a shipped contract is inconsistent.

    Examples:
        >>> load_instrument("phq9").n_items
        9
    """
    if name not in shipped_instruments():
        problem = Problem(
            line=None,
            place="contract",
            found=f"the unknown instrument {name!r}",
            expected=f"one of {', '.join(shipped_instruments())}",
            action="Name a shipped instrument, or declare a measure.",
        )
        raise StudyFileError("study.yaml", [problem])
    resource = resources.files("data_contracts.instruments") / f"{name}.yaml"
    with resources.as_file(resource) as path:
        source = read_yaml(path)
    try:
        instrument = Instrument.model_validate(source.data)
    except ValidationError as error:
        first = error.errors()[0]
        raise InternalError(
            f"instrument {name}.yaml, {dotted(first['loc'])}: {first['msg']}"
        ) from error
    if source.problems or instrument.id != name:
        raise InternalError(f"instrument {name}.yaml: {source.problems or 'wrong id'}")
    return instrument


def measure(
    name: str, *, label: str, minimum: float, maximum: float, higher_is: str
) -> Instrument:
    """Wrap a ready-made number (a test score, say) as a one-item instrument."""
    data: Mapping[str, object] = {
        "id": name,
        "version": "declared by the study",
        "title": label,
        "concept": label,
        "n_items": 1,
        "response": {"minimum": minimum, "maximum": maximum, "whole_numbers": False},
        "codings": {"as_is": {"meaning": "as it stands", "certainty": "K"}},
        "scales": [
            {
                "id": "score",
                "label": label,
                "items": [1],
                "combine": "mean",
                "minimum_answered": 1,
                "missing_rule": "a missing number is missing",
                "higher_is": higher_is,
                "certainty": "K",
            }
        ],
        "citation": "declared by the study",
        "licence": {
            "owner": "the study",
            "note": "declared by the study",
            "item_text_may_ship": False,
            "certainty": "K",
        },
    }
    return Instrument.model_validate(data)
