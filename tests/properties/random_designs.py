"""Small random designs: nested and crossed factors, slopes, weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from analyses.lmm.design import Array, RandomTerm


@dataclass(frozen=True)
class Drawn:
    """A design, a theta inside its space and weights or none."""

    y: Array
    x: Array
    terms: tuple[RandomTerm, ...]
    theta: Array
    weights: Array | None

    @property
    def text(self) -> str:
        return ", ".join(f"{t.name}:{t.n_groups}x{t.n_columns}" for t in self.terms)


@st.composite
def designs(draw: st.DrawFn) -> Drawn:
    """Two to four terms on 40 to 70 rows."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(40, 70))
    inner = random.integers(0, 12, n)
    outer = (inner % 4).astype(np.int64)
    crossed = random.integers(0, 5, n)
    slope = random.normal(size=n) * 3.0 + 10.0 * draw(st.booleans())
    one = np.ones(n)
    kinds = {
        "inner": (inner, 12),
        "outer": (outer, 4),
        "crossed": (crossed, 5),
    }
    chosen = ["inner", *draw(st.lists(st.sampled_from(sorted(kinds)), max_size=3))]
    terms = []
    for name in chosen:
        codes, groups = kinds[name]
        shape = draw(st.sampled_from(["intercept", "correlated", "apart", "three"]))
        columns = {
            "intercept": [one],
            "correlated": [one, slope],
            "apart": [one, slope],
            "three": [one, slope, slope**2 / 10.0],
        }[shape if groups * 3 < n - 5 or shape != "three" else "correlated"]
        z = np.column_stack(columns)
        names = tuple(f"c{j}" for j in range(z.shape[1]))
        correlated = shape != "apart"
        terms.append(RandomTerm(name, codes, groups, z, correlated, names))
    x = np.column_stack([one, slope, random.integers(0, 2, n)])
    theta = np.concatenate([_theta(t, random) for t in terms])
    y = random.normal(size=n) * 2.0 + outer + 0.5 * slope * (inner % 3) + 7.0
    weights = random.uniform(0.3, 4.0, n) if draw(st.booleans()) else None
    return Drawn(y, x, tuple(terms), theta, weights)


def _theta(term: RandomTerm, random: np.random.Generator) -> Array:
    """Diagonal entries of 0 or more, now and then exactly 0."""
    q = term.n_columns
    out = []
    for b in range(q):
        out.append(float(random.uniform(0.05, 1.2) * (random.random() > 0.15)))
        if term.correlated:
            out += list(random.normal(size=q - b - 1) * 0.3)
    return np.array(out)
