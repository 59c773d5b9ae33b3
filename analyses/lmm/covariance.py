"""Theta, the free entries of the relative covariance factors, and what it stands for.

Theta runs over the terms as given; within a correlated term over the lower
triangle of Lambda column by column (lme4's order), else over its diagonal. The
optimiser moves the same entries of transformed columns, which have unit size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analyses.lmm.design import Array, Design, RandomTerm

__all__ = ["Covariance", "term_lambdas"]


def entries(term: RandomTerm) -> list[tuple[int, int]]:
    """Row and column of each free entry of a term's Lambda."""
    q = term.n_columns
    if not term.correlated:
        return [(a, a) for a in range(q)]
    return [(a, b) for b in range(q) for a in range(b, q)]


def term_lambdas(terms: Sequence[RandomTerm], theta: Array) -> list[Array]:
    """Lambda of each term in the terms' own columns, q x q lower triangles."""
    out, at = [], 0
    for term in terms:
        lam = np.zeros((term.n_columns, term.n_columns))
        for a, b in entries(term):
            lam[a, b] = theta[at]
            at += 1
        out.append(lam)
    return out


def _lower(matrix: Array) -> Array:
    """The lower triangle L with L L' = M M' and a diagonal of 0 or more."""
    if len(matrix) == 1:
        return np.abs(matrix)
    lower = np.asarray(np.linalg.qr(matrix.T, mode="r")).T
    sign = np.where(np.diag(lower) < 0.0, -1.0, 1.0)
    out: Array = np.tril(lower * sign)
    return out


class Covariance:
    """Maps theta to the factors' Lambda and derivatives back."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.sizes = [f.n_columns for f in design.factors]
        self.start: list[float] = []
        self.diagonal: list[bool] = []
        self.names: list[tuple[int, int, int]] = []
        place = {
            slot.term: (f, slot.start)
            for f, factor in enumerate(design.factors)
            for slot in factor.slots
        }
        self.places: list[tuple[int, int, int]] = []
        for i, term in enumerate(design.terms):
            f, low = place[i]
            for a, b in entries(term):
                self.places.append((f, low + a, low + b))
                self.names.append((i, a, b))
                self.diagonal.append(a == b)
                self.start.append(1.0 if a == b else 0.0)

    def __len__(self) -> int:
        return len(self.places)

    def lambdas(self, theta: Array) -> list[Array]:
        """Lambda of each factor in transformed columns, from transformed theta."""
        out = [np.zeros((q, q)) for q in self.sizes]
        for value, (f, a, b) in zip(theta, self.places, strict=True):
            out[f][a, b] = value
        return out

    def gradient(self, bars: Sequence[Array]) -> Array:
        """Derivative in transformed theta from that in the factors' Lambda."""
        return np.array([bars[f][a, b] for f, a, b in self.places])

    def own_lambdas(self, theta: Array) -> list[Array]:
        """Lambda of each factor in transformed columns, from the users' theta."""
        return [
            factor.transform @ lam
            for factor, lam in zip(
                self.design.factors, self.lambdas(theta), strict=True
            )
        ]

    def own_gradient(self, bars: Sequence[Array]) -> Array:
        """Derivative in the users' theta from that in the factors' Lambda."""
        return self.gradient(
            [
                factor.transform.T @ bar
                for factor, bar in zip(self.design.factors, bars, strict=True)
            ]
        )

    def to_own(self, theta: Array) -> Array:
        """The users' theta of a transformed one."""
        return self._convert(theta, [f.inverse for f in self.design.factors])

    def to_transformed(self, theta: Array) -> Array:
        """The transformed theta of a user's."""
        return self._convert(theta, [f.transform for f in self.design.factors])

    def _convert(self, theta: Array, maps: Sequence[Array]) -> Array:
        lambdas = self.lambdas(theta)
        for f, factor in enumerate(self.design.factors):
            moved = maps[f] @ lambdas[f]
            lambdas[f] = np.zeros_like(moved)
            for slot in factor.slots:
                own = slice(slot.start, slot.stop)
                block = moved[own, own]
                if self.design.terms[slot.term].correlated:
                    lambdas[f][own, own] = _lower(block)
                else:
                    lambdas[f][own, own] = np.diag(np.abs(np.diag(block)))
        return self.gradient(lambdas)
