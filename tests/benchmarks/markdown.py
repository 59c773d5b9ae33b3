"""Tables and numbers as the benchmark pages print them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["difference", "share", "table"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column to the left and the others to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def difference(value: float | None, limit: float) -> str:
    """A difference to one digit; bold above its limit, a dash where R has none."""
    if value is None:
        return "-"
    text = f"{value:.0e}" if value else "0"
    return f"**{text}**" if value > limit else text


def share(successes: float, n: int) -> str:
    """A percentage with its Monte Carlo standard error."""
    p = successes / n
    return f"{100 * p:.1f} ({100 * (p * (1 - p) / n) ** 0.5:.1f})"
