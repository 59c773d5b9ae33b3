"""What every rule needs: the policy, the known words, and a list of what is held.

The rules themselves stand in ``estimates`` and ``counts``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from data_contracts.errors import DisclosureError
from data_contracts.policy import ReleasePolicy
from data_contracts.study import Study
from reports.disclosure.cells import factors_of, levels_of, rounding_step
from reports.disclosure.facts import StudyFacts

__all__ = ["Judging", "Reasons"]

COMMUNITY_FACTORS = frozenset({"community"})
"""Factors whose levels are single communities."""

COMMUNITY_LEVEL = frozenset({"community_type"})
"""Factors whose levels are groups of communities."""

_FACTORS = frozenset(
    {
        *COMMUNITY_FACTORS,
        *COMMUNITY_LEVEL,
        "academic_year",
        "class_year",
        "cohort",
        "campus",
        "role",
        "track",
        "wave",
    }
)


@dataclass(frozen=True)
class Reasons:
    """Why something is held back, in words that stand in the report."""

    policy: ReleasePolicy

    @property
    def small(self) -> str:
        """Too few people."""
        return f"fewer than {self.policy.minimum_cell} people"

    @property
    def beside(self) -> str:
        """Would give away a small cell."""
        return "would give away a cell that is too small"

    @property
    def few_communities(self) -> str:
        """Too few communities."""
        return f"fewer than {self.policy.minimum_communities} communities"

    @property
    def single_community(self) -> str:
        """Describes one community."""
        return "describes single communities, which this edition never shows"

    @property
    def model(self) -> str:
        """The model itself is too small."""
        return (
            f"its model has fewer than {self.policy.minimum_cell} people or fewer than "
            f"{self.policy.minimum_residual_df} residual degrees of freedom"
        )

    @property
    def unknown_level(self) -> str:
        """The cell is not one that the study file declares."""
        return "a level that the study file does not declare"

    @property
    def small_rows(self) -> str:
        """Too few rows, which are people's."""
        return f"fewer than {self.policy.minimum_cell}"


@dataclass(frozen=True)
class Judging:
    """One pass of the gate.

    Attributes:
        study: The study, for its declared levels.
        facts: What the release will say of the study.
        policy: Limits to apply.
        held: Result rows held back, by table, outcome, factors and reason.
    """

    study: Study
    facts: StudyFacts
    policy: ReleasePolicy
    held: Counter[tuple[str, str | None, str | None, str]] = field(
        default_factory=Counter
    )

    @property
    def reasons(self) -> Reasons:
        """Reasons in this policy's numbers."""
        return Reasons(self.policy)

    @property
    def step(self) -> int:
        """Step to which counts are rounded."""
        return rounding_step(self.policy)

    def hold(
        self, table: str, rows: pl.DataFrame, reason: str, *, by: str = "by"
    ) -> None:
        """Note rows that stay behind whole, with their reason."""
        for row in rows.iter_rows(named=True):
            self.held[(table, row.get("outcome"), row.get(by), reason)] += 1

    def known_factors(self, by: str) -> tuple[str, ...]:
        """Factors of a cell definition.

        Raises:
            DisclosureError: If one of them is none that the gate knows.
        """
        factors = factors_of(by)
        known = _FACTORS | {c.id for c in self.study.covariates}
        unknown = [f for f in factors if f not in known]
        if unknown:
            raise DisclosureError(
                f"The gate knows no rule for results by {by!r}. Known factors are "
                f"{', '.join(sorted(known))}. Nothing is released."
            )
        return factors

    def level_is_declared(self, by: str, level: str | None) -> bool:
        """Whether every level of a cell is one that the study file declares."""
        factors = factors_of(by)
        if not factors:
            return True
        levels = levels_of(level or "")
        return len(levels) == len(factors) and all(
            self._allows(f, value) for f, value in zip(factors, levels, strict=True)
        )

    def _allows(self, factor: str, level: str) -> bool:
        study = self.study
        declared: dict[str, tuple[str, ...]] = {
            "academic_year": study.academic_years,
            "class_year": study.class_years,
            "campus": study.campuses,
            "wave": tuple(w.id for w in study.waves),
            "community_type": tuple(dict.fromkeys(c.type for c in study.communities)),
            **{c.id: c.levels for c in study.covariates},
        }
        # Without a declaration the count of people alone decides.
        return not declared.get(factor) or level in declared[factor]
