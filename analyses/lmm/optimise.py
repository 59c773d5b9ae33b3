"""Minimise a smooth deviance over theta, and say how it went.

Quasi-Newton (BFGS), with first steps by expected information (scoring). The
deviance is even in the sign of each column of Lambda, so theta needs no bounds: a
variance of 0 is an ordinary minimum at theta = 0. Values near 0 are then set to 0
where the objective is not worse for it, and probed where a stationary point at 0
might be no minimum. A derivative-free search is the fallback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from analyses.lmm.design import Array

__all__ = ["SCORING_STEPS", "Record", "minimise"]

Value = tuple[float, Array]
Flags = NDArray[np.bool_]

TOLERANCE = 1e-9  # expected further decrease of the deviance at which to stop
LONGEST_STEP = 2.0
SCORING_STEPS = 8
SCORING_GAIN = 0.3  # of a step, below which differences of gradients serve better
LIMIT = 400  # evaluations before the derivative-free search
SMALL = 0.2
NEAR_ZERO = 0.05
PROBE = 0.1


@dataclass(frozen=True)
class Record:
    """How a fit went.

    Attributes:
        evaluations: Evaluations of the objective.
        converged: Whether the last step promised less than the tolerance.
        why: Why it stopped, and what to try where it failed.
        gradient: Largest absolute derivative at the end, transformed theta.
        at_zero: Names of effects whose standard deviation (beyond what earlier
            effects of the term explain) is 0.
    """

    evaluations: int
    converged: bool
    why: str
    gradient: float
    at_zero: tuple[str, ...] = ()


class _Counted:
    """The objective with a count; points where it fails are infinitely bad."""

    def __init__(self, function: Callable[[Array], Value]) -> None:
        self.function = function
        self.count = 0

    def __call__(self, theta: Array) -> Value:
        self.count += 1
        try:
            value, gradient = self.function(theta)
        except np.linalg.LinAlgError:
            return np.inf, np.zeros_like(theta)
        if not np.isfinite(value):
            return np.inf, np.zeros_like(theta)
        return value, gradient


def minimise(
    function: Callable[[Array], Value],
    start: Array,
    *,
    curvature: Callable[[Array], Array] | None = None,
    diagonal: Sequence[bool] = (),
    rounding: float = 0.0,
    scoring_steps: int = SCORING_STEPS,
) -> tuple[Array, float, Record]:
    """Minimise from a start.

    Args:
        function: Value and gradient at theta.
        start: Where to begin.
        curvature: Positive definite guess of the Hessian at the theta that was
            evaluated last; the first steps use it.
        diagonal: Which entries are diagonal entries of a Lambda.
        rounding: Differences of the objective that mean nothing.
        scoring_steps: How many steps take a fresh curvature.

    Returns:
        Theta, the objective there and the record.
    """
    counted = _Counted(function)
    is_diagonal = np.array(diagonal or [False] * len(start))
    theta, value, gradient, converged = _quasi_newton(
        counted, start, curvature, scoring_steps, is_diagonal
    )
    for _ in range(3):
        better = _probe(counted, theta, value, is_diagonal, rounding)
        if better is None:
            break
        theta, value, gradient, converged = _quasi_newton(
            counted, better, curvature, scoring_steps, is_diagonal
        )
    why = "the gradient is 0"
    if not converged:
        found = minimize(
            lambda t: counted(t)[0], theta, method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-9, "maxfev": 400 * len(theta)},
        )  # fmt: skip
        if found.fun <= value:
            theta = np.asarray(found.x, dtype=np.float64)
            value, gradient = counted(theta)
        converged = bool(found.success and np.isfinite(value))
        why = (
            "the derivative-free search found no lower point"
            if converged
            else "not converged: the objective still falls; try fewer random effects"
            " or a larger rescaling of the slopes"
        )
    theta, value, gradient = _to_zero(
        counted, theta, value, gradient, is_diagonal, rounding
    )
    size = float(np.abs(gradient).max(initial=0.0))
    return theta, value, Record(counted.count, converged, why, size)


def _quasi_newton(
    function: _Counted,
    start: Array,
    curvature: Callable[[Array], Array] | None,
    scoring_steps: int,
    diagonal: Flags,
) -> tuple[Array, float, Array, bool]:
    theta = start.copy()
    value, gradient = function(theta)
    if not np.isfinite(value):
        return theta, value, gradient, False
    scaled, steps = curvature is not None, 0
    hessian = np.eye(len(theta))
    if curvature is not None:
        hessian = _towards_zero(curvature(theta), theta, gradient, diagonal)
    while function.count < LIMIT:
        step: Array = -np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        promise = -float(gradient @ step)
        if scaled and promise < 2.0 * TOLERANCE:
            return theta, value, gradient, True
        step *= min(1.0, LONGEST_STEP / max(np.abs(step).max(), 1e-300))
        moved = _line_search(function, theta, value, gradient, step)
        if moved is None:
            # Nothing lower along a descent direction: rounding, or a poor guess.
            if promise < 1e-6:
                return theta, value, gradient, True
            if not scaled:
                return theta, value, gradient, False
            hessian, scaled = np.eye(len(theta)) * np.abs(gradient).max(), False
            continue
        new_theta, new_value, new_gradient = moved
        s, change = new_theta - theta, new_gradient - gradient
        if not scaled:
            hessian *= max(float(s @ change), 1e-8) / float(s @ hessian @ s)
            scaled = True
        steps += 1
        far = value - new_value > SCORING_GAIN and steps <= scoring_steps
        if curvature is not None and scaled and far:
            hessian = _towards_zero(
                curvature(new_theta), new_theta, new_gradient, diagonal
            )
        else:
            hessian = _update(hessian, s, change)
        theta, value, gradient = new_theta, new_value, new_gradient
    return theta, value, gradient, False


def _towards_zero(
    hessian: Array, theta: Array, gradient: Array, diagonal: Flags
) -> Array:
    """Add what expected information leaves out: the curvature of theta squared.

    The deviance is a function of squares, so its second derivative also holds the
    slope over theta; where a variance goes to 0 nothing else is left of it.
    """
    out = hessian.copy()
    small = (np.abs(theta) > 1e-12) & (np.abs(theta) < SMALL)
    for k in np.flatnonzero(diagonal & small):
        out[k, k] += max(0.0, float(gradient[k] / theta[k]))
    return out


def _update(hessian: Array, s: Array, change: Array) -> Array:
    """BFGS with Powell's damping, which keeps it positive definite."""
    moved = hessian @ s
    along, gain = float(s @ moved), float(s @ change)
    if gain < 0.2 * along:
        mix = 0.8 * along / (along - gain)
        change = mix * change + (1.0 - mix) * moved
        gain = float(s @ change)
    out: Array = (
        hessian + np.outer(change, change) / gain - np.outer(moved, moved) / along
    )
    return out


def _line_search(
    function: _Counted, theta: Array, value: float, gradient: Array, step: Array
) -> tuple[Array, float, Array] | None:
    """A point of sufficient decrease, by quadratic interpolation backwards."""
    slope, t = float(gradient @ step), 1.0
    for _ in range(25):
        point = theta + t * step
        found, derivative = function(point)
        if found <= value + 1e-4 * t * slope:
            return point, found, derivative
        if np.isfinite(found):
            best = -0.5 * slope * t * t / (found - value - slope * t)
            t = min(max(best, 0.1 * t), 0.5 * t)
        else:
            t *= 0.25
        if t * np.abs(step).max() < 1e-12:
            break
    return None


def _probe(
    function: _Counted,
    theta: Array,
    value: float,
    diagonal: Flags,
    rounding: float,
) -> Array | None:
    """A lower point away from 0, where a stationary point at 0 is no minimum."""
    for k in np.flatnonzero(diagonal & (np.abs(theta) < NEAR_ZERO)):
        other = theta.copy()
        other[k] = PROBE
        found, _ = function(other)
        if found < value - max(rounding, 1e-8):
            return other
    return None


def _to_zero(
    function: _Counted,
    theta: Array,
    value: float,
    gradient: Array,
    diagonal: Flags,
    rounding: float,
) -> tuple[Array, float, Array]:
    for k in np.flatnonzero(diagonal & (np.abs(theta) < NEAR_ZERO)):
        if theta[k] == 0.0:
            continue
        other = theta.copy()
        other[k] = 0.0
        found, derivative = function(other)
        if found <= value + rounding:
            theta, value, gradient = other, found, derivative
    return theta, value, gradient
