"""The study file: study.yaml as one frozen ``Study``, checked whole when loaded.

Here stand the shapes; ``study_checks`` holds the rules that relate one section to
another, ``study_file`` reads the file and gathers every mistake with its line.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.instrument import Instrument, Scale, load_instrument, measure
from data_contracts.policy import ReleasePolicy

__all__ = [
    "Community",
    "Covariate",
    "DfMethod",
    "InstrumentUse",
    "KeyRule",
    "Measure",
    "ModelDeclaration",
    "Outcome",
    "Primary",
    "Rosters",
    "Study",
    "Wave",
    "WaveColumns",
    "WaveInstrument",
]

AcademicYear = Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
WaveId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Name = Annotated[str, Field(min_length=1)]
FileFormat = Literal["qualtrics", "tabular"]
DfMethod = Literal["kenward-roger", "satterthwaite"]
FileName = Annotated[str, Field(pattern=r"^[^/\\:]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Community(_Section):
    """A learning community. ``identity_named`` ones are never shown singly."""

    id: Name
    name: Name
    type: str = "learning community"
    identity_named: bool = False
    start: AcademicYear | None = None
    end: AcademicYear | None = None


class KeyRule(_Section):
    """How a person is known across waves.

    ``student_number`` and ``pseudonym`` are hashed with the study's own key before
    anything is stored; ``none`` means that no wave can be linked to another.
    """

    kind: Literal["student_number", "pseudonym", "none"]


class RosterFile(_Section):
    """A roster file in ``raw/rosters/`` and its column names by ours."""

    file: FileName
    format: FileFormat = "tabular"
    columns: dict[str, str]


class Rosters(_Section):
    """Who was in which community, class year and campus, from when to when."""

    membership: RosterFile | None = None
    participants: RosterFile | None = None
    community_years: RosterFile | None = None


class WaveColumns(_Section):
    """Columns of a wave file that are not items, by our names.

    ``community``, ``class_year`` and ``campus`` are needed only where no roster
    says them.
    """

    key: str | None = None
    recorded_on: str | None = None
    community: str | None = None
    class_year: str | None = None
    campus: str | None = None
    covariates: dict[Identifier, str] = Field(default_factory=dict)


class WaveInstrument(_Section):
    """Where a wave holds an instrument's items.

    Attributes:
        items: A pattern with ``{n}`` for the item position (``Q5_{n}``), or the
            list of column names in the instrument's order.
        coding: Coding direction in this wave where it differs from the study's.
    """

    items: str | tuple[str, ...]
    coding: Identifier | None = None

    def item_columns(self, n_items: int) -> tuple[str, ...]:
        """Column names in item order.

        Examples:
            >>> WaveInstrument(items="Q5_{n}").item_columns(2)
            ('Q5_1', 'Q5_2')
        """
        if isinstance(self.items, str):
            return tuple(
                self.items.replace("{n}", str(n)) for n in range(1, n_items + 1)
            )
        return self.items


class Wave(_Section):
    """One survey wave: when, which file in ``raw/<wave>/``, what its columns mean.

    Attributes:
        rows: Rows of a longer file that belong to this wave, as column: value.
        missing_codes: Texts that mean "no answer", besides an empty cell.
    """

    id: WaveId
    academic_year: AcademicYear
    opened: date
    closed: date
    file: FileName
    format: FileFormat
    rows: dict[str, str] = Field(default_factory=dict)
    columns: WaveColumns
    instruments: dict[Identifier, WaveInstrument]
    missing_codes: tuple[str, ...] = ("NA",)

    @model_validator(mode="after")
    def _opened_before_closed(self) -> Self:
        if self.closed < self.opened:
            raise ValueError("the wave closes before it opens")
        return self


class Measure(_Section):
    """A ready-made number that is analysed as it stands."""

    label: Name
    minimum: float
    maximum: float
    higher_is: Literal["better", "worse", "neither"]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be below maximum")
        return self


class InstrumentUse(_Section):
    """An instrument as this study uses it.

    Attributes:
        contract: Id of a shipped instrument.
        measure: A ready-made number instead of a contract.
        coding: Coding direction; may be left out where there is only one.
        minimum_answered: Fewest answered items by scale id, where the contract
            leaves it open or the study departs from it.
    """

    contract: str | None = None
    measure: Measure | None = None
    coding: Identifier | None = None
    minimum_answered: dict[Identifier, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.contract is None) == (self.measure is None):
            raise ValueError("give either a contract or a measure")
        return self


class Outcome(_Section):
    """A scale that is analysed, with the words that people read."""

    id: Identifier
    scale: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
    label: Name


class Covariate(_Section):
    """A declared column of the waves that may enter a model.

    ``levels`` are in order, the first is the reference; a number has none.
    """

    id: Identifier
    label: Name
    type: Literal["category", "number"] = "category"
    levels: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _levels_where_category(self) -> Self:
        if self.type == "category" and len(self.levels) < 2:
            raise ValueError("a category needs at least two levels, in order")
        if self.type == "number" and self.levels:
            raise ValueError("a number has no levels")
        return self


class Primary(_Section):
    """A declared primary contrast; the report keeps the declared order."""

    outcome: Identifier
    by: Literal["academic_year", "class_year"]
    level: Name
    reference: Name


class ModelDeclaration(_Section):
    """A model, in lme4's notation, fitted to each of its outcomes.

    Attributes:
        formula: Right-hand side, such as
            ``academic_year + class_year + (1 | student) + (1 | community)``.
        only: Levels to keep, by column of the model frame; a declared subset.
        ddf: How degrees of freedom are found; Satterthwaite stands in where
            Kenward-Roger would take too much memory, and the report says so.
    """

    id: Identifier
    formula: Name
    outcomes: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    only: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    ddf: DfMethod = "kenward-roger"


class Study(_Section):
    """A whole study, as its study.yaml declares it."""

    lcwaves: Literal[1]
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    title: Name
    synthetic: bool = False
    academic_years: Annotated[tuple[AcademicYear, ...], Field(min_length=1)]
    class_years: tuple[Name, ...] = ()
    campuses: tuple[Name, ...] = ()
    communities: tuple[Community, ...] = ()
    key: KeyRule
    rosters: Rosters = Rosters()
    instruments: Annotated[dict[Identifier, InstrumentUse], Field(min_length=1)]
    covariates: tuple[Covariate, ...] = ()
    waves: Annotated[tuple[Wave, ...], Field(min_length=1)]
    outcomes: Annotated[tuple[Outcome, ...], Field(min_length=1)]
    primary: tuple[Primary, ...] = ()
    models: tuple[ModelDeclaration, ...] = ()
    policy: ReleasePolicy = ReleasePolicy()

    @cached_property
    def waves_by_id(self) -> dict[str, Wave]:
        """Waves by id, in declared order."""
        return {w.id: w for w in self.waves}

    @cached_property
    def outcomes_by_id(self) -> dict[str, Outcome]:
        """Outcomes by id, in declared order."""
        return {o.id: o for o in self.outcomes}

    def waves_up_to(self, academic_year: str) -> tuple[Wave, ...]:
        """Waves that an analysis as of an academic year uses."""
        return tuple(w for w in self.waves if w.academic_year <= academic_year)

    def instrument(self, name: str) -> Instrument:
        """The instrument behind a declared use."""
        use = self.instruments[name]
        if use.contract is not None:
            return load_instrument(use.contract)
        m = use.measure
        if m is None:  # excluded by InstrumentUse; keeps the type checker certain
            raise TypeError(name)
        return measure(
            name,
            label=m.label,
            minimum=m.minimum,
            maximum=m.maximum,
            higher_is=m.higher_is,
        )

    def scale(self, scale_id: str) -> Scale:
        """A scale by its full id, ``instrument.scale``.

        Raises:
            KeyError: If the study has no such scale.
        """
        name, _, scale = scale_id.partition(".")
        for candidate in self.instrument(name).scales:
            if candidate.id == scale:
                return candidate
        raise KeyError(scale_id)

    def scale_range(self, scale_id: str) -> tuple[float, float]:
        """Lowest and highest possible score of a scale, in its own units.

        Examples:
            A mean of items coded 1 to 4 lies in (1.0, 4.0); a sum of nine items
            coded 0 to 3 in (0.0, 27.0).
        """
        response = self.instrument(scale_id.partition(".")[0]).response
        scale = self.scale(scale_id)
        factor = len(scale.items) if scale.combine == "sum" else 1
        return (response.minimum * factor, response.maximum * factor)

    @property
    def has_roster(self) -> bool:
        """Whether a membership roster says who was where."""
        return self.rosters.membership is not None


RAW, STORE, DATABASE = "raw", "store", "study.duckdb"


def raw_file(folder: Path, wave: Wave) -> Path:
    """Where a wave's file lies in the study folder."""
    return folder / RAW / wave.id / wave.file


def roster_file(folder: Path, roster: RosterFile) -> Path:
    """Where a roster file lies in the study folder."""
    return folder / RAW / "rosters" / roster.file
