"""Arrays in: what is given, checked, scaled and refused before any fit.

Rows are multiplied by the root of their weight. Columns of X become orthonormal,
the outcome is centred on its least-squares fit, and the columns of each random
term become orthonormal on average, so that no unit of measurement reaches the
arithmetic; results are carried back by the transforms kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from analyses.lmm.errors import LmmError

__all__ = ["Array", "Design", "Factor", "Ints", "RandomTerm", "Slot", "make_design"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RandomTerm:
    """One random term: `(z | group)`, or `(z || group)` when not correlated.

    Attributes:
        name: Name of the grouping factor, such as `student` or `LC:class`.
        codes: Group of each row, 0 to `n_groups` - 1.
        n_groups: Number of groups.
        z: Columns that vary by group, n x q; a column of ones is an intercept.
        correlated: Whether the q effects of a group have free correlations.
        column_names: Names of the q columns.
    """

    name: str
    codes: Ints
    n_groups: int
    z: Array
    correlated: bool = True
    column_names: tuple[str, ...] = ("(Intercept)",)

    @property
    def n_columns(self) -> int:
        """Number of effects per group."""
        return int(self.z.shape[1])

    @property
    def n_theta(self) -> int:
        """Number of free entries of the relative covariance factor."""
        q = self.n_columns
        return q * (q + 1) // 2 if self.correlated else q


@dataclass(frozen=True)
class Slot:
    """Where a term's columns stand within its grouping factor."""

    term: int
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Factor:
    """One grouping factor with the columns of all terms that use it.

    Attributes:
        codes: Group of each row.
        n_groups: Number of groups.
        z: Transformed columns (root weights included), q x n.
        slots: The terms, by their columns.
        transform: A, q x q, block diagonal by term: Psi within = A Psi A'.
        inverse: The inverse of A.
    """

    codes: Ints
    n_groups: int
    z: Array
    slots: tuple[Slot, ...]
    transform: Array
    inverse: Array

    @property
    def n_columns(self) -> int:
        """Number of effects per group, over all terms."""
        return int(self.z.shape[0])


@dataclass(frozen=True, eq=False)
class Design:
    """A model's arrays as given, and as the engine works on them.

    Attributes:
        y: Outcome as given, n.
        x: Fixed columns as given, n x p.
        terms: Random terms as given.
        weights: Prior weights or None.
        factors: Grouping factors, transformed.
        q: Orthonormal fixed columns of the weighted rows, n x p.
        r: Upper triangle with weighted x = q r.
        sum_log_weights: Their sum, 0 without weights.
    """

    y: Array
    x: Array
    terms: tuple[RandomTerm, ...]
    weights: Array | None
    x_names: tuple[str, ...]
    factors: tuple[Factor, ...]
    q: Array
    r: Array
    root: Array | None
    sum_log_weights: float = field(default=0.0)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.x.shape[0])

    @property
    def n_fixed(self) -> int:
        """Number of fixed columns."""
        return int(self.x.shape[1])

    def response(self, y: Array) -> tuple[Array, Array, Array]:
        """Centre and scale outcomes on their weighted least-squares fit.

        Args:
            y: Outcomes, n x k.

        Returns:
            Residuals of unit mean square (n x k), coefficients of the fit in the
            orthonormal columns (p x k) and scales (k).
        """
        weighted = y if self.root is None else y * self.root[:, None]
        start = self.q.T @ weighted
        rest = weighted - self.q @ start
        again = self.q.T @ rest  # a second pass takes out what rounding left
        rest -= self.q @ again
        scale = np.sqrt(np.einsum("ik,ik->k", rest, rest) / len(rest))
        size = np.sqrt(np.einsum("ik,ik->k", weighted, weighted) / len(rest))
        if np.any(scale <= 1e-12 * size) or np.any(scale == 0.0):
            raise LmmError(
                "The outcome is constant or an exact sum of the fixed columns: no"
                " variance is left to share out."
            )
        return rest / scale, start + again, scale


def make_design(
    y: Array,
    x: Array,
    terms: Sequence[RandomTerm],
    *,
    weights: Array | None = None,
    x_names: Sequence[str] | None = None,
) -> Design:
    """Check a model's arrays and transform them.

    Args:
        y: Outcome, n, finite.
        x: Fixed columns, n x p, finite, of full rank.
        terms: At least one random term.
        weights: Prior weights, n, positive; the residual variance of row i is the
            residual variance divided by its weight.
        x_names: Names of the fixed columns, for messages and results.

    Returns:
        The design.

    Raises:
        LmmError: Non-finite input, a constant outcome, a rank-deficient x, a
            factor with one level or with as many groups as rows, a random term
            that the fixed columns hold already.
    """
    y = np.ascontiguousarray(y, dtype=np.float64)
    x = np.ascontiguousarray(x, dtype=np.float64)
    n = len(y)
    if y.ndim != 1 or x.ndim != 2 or len(x) != n or not terms:
        raise LmmError(
            f"Found an outcome of shape {y.shape}, fixed columns of shape {x.shape}"
            f" and {len(terms)} random terms; expected n, n x p and one or more."
        )
    names = tuple(x_names or (f"x{j}" for j in range(x.shape[1])))
    _finite("the outcome", y)
    _finite("the fixed columns", x)
    root, log_weights = _root(weights, n)
    if n and np.ptp(y) == 0.0:
        raise LmmError(
            "The outcome is constant: it has the same value in every row, so there is"
            " nothing to explain."
        )
    for term in terms:
        _check_term(term, n)
    q, r = _orthonormal(x if root is None else x * root[:, None], names)
    for term in terms:
        _refuse_aliased(term, q, root)
    factors = _factors(terms, root)
    kept = None if weights is None else np.asarray(weights, dtype=np.float64)
    return Design(y, x, tuple(terms), kept, names, factors, q, r, root, log_weights)


def _finite(what: str, values: Array) -> None:
    if not np.isfinite(values.sum()) and not np.isfinite(values).all():
        rows = int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).sum())
        raise LmmError(
            f"Found non-finite values of {what} in {rows} rows; leave those rows out or"
            " mend them first."
        )


def _root(weights: Array | None, n: int) -> tuple[Array | None, float]:
    if weights is None:
        return None, 0.0
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (n,):
        raise LmmError(f"Found weights of shape {w.shape}; expected one for each row.")
    _finite("the weights", w)
    if np.any(w <= 0.0):
        raise LmmError(
            f"Found {int((w <= 0.0).sum())} weights of 0 or less; leave those rows out."
        )
    return np.sqrt(w), float(np.log(w).sum())


def _check_term(term: RandomTerm, n: int) -> None:
    """Refuse a term that no residual can be told from."""
    codes, z = term.codes, term.z
    if codes.shape != (n,) or z.ndim != 2 or len(z) != n:
        raise LmmError(
            f"Random term {term.name}: found codes of shape {codes.shape} and columns"
            f" of shape {z.shape}; expected {n} rows in both."
        )
    if z.shape[1] != len(term.column_names):
        raise LmmError(
            f"Random term {term.name}: found {z.shape[1]} columns and"
            f" {len(term.column_names)} names for them."
        )
    _finite(f"the columns of random term {term.name}", z)
    if n and (codes.min() < 0 or codes.max() >= term.n_groups):
        raise LmmError(
            f"Random term {term.name}: group codes must lie from 0 to"
            f" {term.n_groups - 1}."
        )
    used = int(np.count_nonzero(np.bincount(codes, minlength=term.n_groups)))
    if used < 2:
        raise LmmError(
            f"Factor {term.name} has one level: a variance between groups needs at"
            " least two."
        )
    if used >= n:
        raise LmmError(
            f"Factor {term.name} has as many groups as rows ({n}): its effects cannot"
            " be told from the residual."
        )
    if used * z.shape[1] >= n:
        raise LmmError(
            f"Random term {term.name} has {used * z.shape[1]} effects for {n} rows:"
            " they cannot be told from the residual; leave a slope out."
        )
    for name, column in zip(term.column_names, z.T, strict=True):
        if not column.any():
            raise LmmError(
                f"Random term {term.name}: column {name} is 0 in every row; leave it"
                " out."
            )


def _orthonormal(x: Array, names: tuple[str, ...]) -> tuple[Array, Array]:
    """Q and R of the fixed columns, or a refusal that names the columns."""
    n, p = x.shape
    if p == 0:
        return x, np.zeros((0, 0))
    size = np.sqrt(np.einsum("ij,ij->j", x, x))
    if n < p or np.any(size == 0.0):
        _refuse_rank(x, np.where(size == 0.0, 1.0, size), names)
    scaled = x / size
    try:
        first = np.linalg.cholesky(scaled.T @ scaled).T
    except np.linalg.LinAlgError:
        first = np.zeros((p, p))
    if np.abs(np.diag(first)).min() < 1e-5:
        # The cross-product cannot tell: an orthogonal factoring can.
        first = np.asarray(np.linalg.qr(scaled, mode="r"))
        if np.abs(np.diag(first)).min() < 1e-10:
            _refuse_rank(x, size, names)
    q = scaled @ np.linalg.inv(first)
    second = np.linalg.cholesky(q.T @ q).T
    q = q @ np.linalg.inv(second)
    return q, (second @ first) * size


def _refuse_aliased(term: RandomTerm, q: Array, root: Array | None) -> None:
    """Refuse a term whose columns the fixed ones span: any variance fits as well.

    The criterion is then flat in that variance, and degrees of freedom of what the
    term touches are whatever the optimiser stopped at.
    """
    n_effects = term.n_groups * term.n_columns
    if n_effects > q.shape[1]:
        return  # more effects than fixed columns can hold
    z = term.z if root is None else term.z * root[:, None]
    spread = np.zeros((len(z), n_effects))
    rows = np.arange(len(z))
    for j in range(term.n_columns):
        spread[rows, term.codes * term.n_columns + j] = z[:, j]
    left = spread - q @ (q.T @ spread)
    if np.sum(left**2) <= 1e-16 * len(z) * np.sum(spread**2):
        raise LmmError(
            f"Random term {term.name} is a combination of the fixed columns, so its"
            " variance cannot be estimated; leave one of the two out."
        )


def _refuse_rank(x: Array, size: Array, names: tuple[str, ...]) -> None:
    parts = qr(x / size, mode="economic", pivoting=True)
    diagonal, order = np.abs(np.diag(parts[1])), parts[2]
    rank = int((diagonal > 1e-10 * max(diagonal[0], 1e-300)).sum())
    extra = ", ".join(names[j] for j in sorted(order[rank:]))
    raise LmmError(
        f"The fixed columns are rank-deficient: {extra} can be written with the others;"
        " leave out or recode."
    )


def _factors(terms: Sequence[RandomTerm], root: Array | None) -> tuple[Factor, ...]:
    """Merge terms on the same groups and make their columns orthonormal."""
    groups: list[list[int]] = []
    for i, term in enumerate(terms):
        for members in groups:
            head = terms[members[0]]
            if head.codes is term.codes or (
                head.n_groups == term.n_groups
                and np.array_equal(head.codes, term.codes)
            ):
                members.append(i)
                break
        else:
            groups.append([i])
    return tuple(_factor(terms, members, root) for members in groups)


def _factor(
    terms: Sequence[RandomTerm], members: list[int], root: Array | None
) -> Factor:
    n = len(terms[members[0]].codes)
    columns = [np.asarray(terms[i].z.T, dtype=np.float64) for i in members]
    z = columns[0] if len(columns) == 1 else np.concatenate(columns)
    z = np.ascontiguousarray(z) if root is None else z * root
    size = len(z)
    transform, inverse = np.zeros((size, size)), np.zeros((size, size))
    slots, start = [], 0
    for i in members:
        stop = start + terms[i].n_columns
        gram = z[start:stop] @ z[start:stop].T / n
        block = _scaling(gram, correlated=terms[i].correlated)
        transform[start:stop, start:stop] = block
        inverse[start:stop, start:stop] = np.linalg.inv(block)
        slots.append(Slot(i, start, stop))
        start = stop
    if not np.array_equal(transform, np.eye(size)):
        z = inverse.T @ z
    head = terms[members[0]]
    codes = np.ascontiguousarray(head.codes, dtype=np.int64)
    return Factor(codes, head.n_groups, z, tuple(slots), transform, inverse)


def _scaling(gram: Array, *, correlated: bool) -> Array:
    """Upper triangle A with gram = A'A, or its diagonal where that fails."""
    size = np.sqrt(np.diag(gram))
    if correlated and len(gram) > 1:
        try:
            lower = np.linalg.cholesky(gram / np.outer(size, size))
        except np.linalg.LinAlgError:
            lower = np.zeros_like(gram)
        if np.diag(lower).min() > 1e-6:
            return lower.T * size
    return np.diag(size)
