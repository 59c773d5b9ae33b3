"""Columns of a model matrix, coded as R's model.matrix codes them.

Which levels a factor has is decided elsewhere; here stands only how terms over
factors and numbers become columns: their order, their names and which factor needs
all of its levels because the margin under it is not in the formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "CodedTerm", "Coding", "Levels", "Values", "make_coding"]

Array = NDArray[np.float64]
Values = Mapping[str, NDArray[np.generic]]
Levels = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class CodedTerm:
    """One term of a formula.

    Attributes:
        variables: Its columns, in the order of the formula; none is the intercept.
        full: For each, whether it takes a column for every level.
    """

    variables: tuple[str, ...]
    full: tuple[bool, ...]

    @property
    def name(self) -> str:
        """The term as R writes it, such as ``year:format``."""
        return ":".join(self.variables) or "(Intercept)"


@dataclass(frozen=True)
class Coding:
    """Terms with the levels of their factors.

    Attributes:
        terms: The intercept first, main effects, then interactions.
        levels: Levels by factor; the first is the reference. Other columns are
            numbers.
        names: Names of the columns as R's, such as ``yearY2:formatnew``.
        assign: Place in ``terms`` of the term that each column belongs to.
    """

    terms: tuple[CodedTerm, ...]
    levels: Levels
    names: tuple[str, ...]
    assign: tuple[int, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that the terms use, in order of first use."""
        return tuple(dict.fromkeys(v for t in self.terms for v in t.variables))

    @property
    def factors(self) -> tuple[str, ...]:
        """Those that are factors."""
        return tuple(v for v in self.variables if v in self.levels)

    @property
    def saturated(self) -> Coding:
        """The same terms with a column for every level of every factor."""
        terms = tuple(
            CodedTerm(t.variables, tuple(v in self.levels for v in t.variables))
            for t in self.terms
        )
        return _coding(terms, self.levels)

    def matrix(self, values: Values, *, n_rows: int) -> Array:
        """Model matrix of rows.

        Args:
            values: By variable: codes of a factor's levels, or numbers.
            n_rows: Number of rows.
        """
        pieces = {
            (v, full): self._columns(v, values[v], full=full)
            for t in self.terms
            for v, full in zip(t.variables, t.full, strict=True)
        }
        out = np.empty((n_rows, len(self.names)))
        at = 0
        for term in self.terms:
            columns: list[Array] = [np.ones(n_rows)] if not term.variables else []
            for v, full in zip(term.variables, term.full, strict=True):
                own = pieces[v, full]
                columns = [a * b for b in own for a in columns] if columns else own
            for column in columns:
                out[:, at] = column
                at += 1
        return out

    def _columns(
        self,
        variable: str,
        values: NDArray[np.generic],
        *,
        full: bool,
    ) -> list[Array]:
        if variable not in self.levels:
            return [values.astype(np.float64)]
        k = len(self.levels[variable])
        first = 0 if full else 1
        return [(values == j).astype(np.float64) for j in range(first, k)]


def make_coding(
    terms: Sequence[tuple[str, ...]],
    levels: Levels,
    *,
    order: Sequence[str] | None = None,
) -> Coding:
    """Decide columns as R does (``terms.formula`` and ``model.matrix``).

    A factor takes all its levels but the first where the term without it is part of
    an earlier term, and all of them otherwise; without an intercept the first
    factor found takes all.

    Args:
        terms: Variables of each term; the empty tuple is the intercept.
        levels: Levels by factor.
        order: Variables in order of first use, where it is not that of the terms.

    Examples:
        >>> levels = {"a": ("x", "y"), "b": ("u", "v", "w")}
        >>> make_coding([(), ("a",), ("b",), ("a", "b")], levels).names[1:]
        ('ay', 'bv', 'bw', 'ay:bv', 'ay:bw')
        >>> make_coding([("a",), ("a", "n")], levels).names
        ('ax', 'ay', 'ax:n', 'ay:n')
    """
    place = list(order or dict.fromkeys(v for t in terms for v in t)).index
    sorted_terms = sorted(
        dict.fromkeys(tuple(sorted(t, key=place)) for t in terms), key=len
    )  # sorting is stable: the formula's order within a degree
    coded: list[CodedTerm] = []
    for i, variables in enumerate(sorted_terms):
        earlier = [set(t) for t in sorted_terms[:i]]
        full = tuple(
            v in levels and _needs_all(set(variables) - {v}, earlier) for v in variables
        )
        coded.append(CodedTerm(variables, full))
    if () not in sorted_terms:
        _widen_first_factor(coded, levels)
    used = {v: levels[v] for t in sorted_terms for v in t if v in levels}
    return _coding(tuple(coded), used)


def _coding(terms: tuple[CodedTerm, ...], levels: Levels) -> Coding:
    names = [_names(t, levels) for t in terms]
    return Coding(
        terms=terms,
        levels=levels,
        names=tuple(n for own in names for n in own),
        assign=tuple(i for i, own in enumerate(names) for _ in own),
    )


def _needs_all(margin: set[str], earlier: Sequence[set[str]]) -> bool:
    return bool(margin) and not any(margin <= t for t in earlier)


def _widen_first_factor(coded: list[CodedTerm], levels: Levels) -> None:
    for i, term in enumerate(coded):
        for j, v in enumerate(term.variables):
            if v in levels:
                full = tuple(True if m == j else f for m, f in enumerate(term.full))
                coded[i] = CodedTerm(term.variables, full)
                return


def _names(term: CodedTerm, levels: Levels) -> list[str]:
    if not term.variables:
        return ["(Intercept)"]
    names: list[str] = []
    for v, full in zip(term.variables, term.full, strict=True):
        own = [f"{v}{x}" for x in levels[v][0 if full else 1 :]] if v in levels else [v]
        names = [f"{a}:{b}" for b in own for a in names] if names else own
    return names
