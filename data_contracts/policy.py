"""What may leave the study: the release policy of one edition.

Limits have safe defaults; an unknown key or a value looser than the floor raises.
The gate that applies a policy is ``reports.disclosure``; planning needs the same
numbers, so they live here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FLOOR", "ReleasePolicy"]

FLOOR = 5
"""No policy may show a cell of fewer people than this."""


class ReleasePolicy(BaseModel):
    """Limits of one edition; ``policy:`` in study.yaml is the public one.

    Attributes:
        audience: Who may read this edition; names its ledger.
        minimum_cell: Fewest people (not rows) behind anything shown.
        rounding_base: Counts are rounded to a multiple of this.
        minimum_communities: Fewest communities behind a community-level statistic.
        minimum_residual_df: Fewest residual df of a model that is shown.
        show_identity_communities: Whether a community named for an identity may be
            shown singly.

    Examples:
        >>> ReleasePolicy().minimum_cell
        10
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    audience: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")] = "public"
    minimum_cell: Annotated[int, Field(ge=FLOOR)] = 10
    rounding_base: Annotated[int, Field(ge=1)] = 5
    minimum_communities: Annotated[int, Field(ge=3)] = 3
    minimum_residual_df: Annotated[int, Field(ge=10)] = 10
    show_identity_communities: bool = False
