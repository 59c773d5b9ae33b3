"""A model as people in this field write it: lme4's notation to a frozen ModelSpec.

Here stands notation alone: what is fixed, what is random and how random terms
expand (``/``, ``||``). Which column is a factor, which levels it has and whether a
model can be estimated is decided where formula and frame meet (``design``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from formulaic import Formula
from formulaic.errors import FormulaicError

from data_contracts.errors import ModelError

__all__ = ["ModelSpec", "RandomTerm", "parse_formula"]

_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d]\w*)|(?P<op>\d+|\|\||\*\*|[-+*/:^()|~]))")
_NAME = re.compile(r"[^\W\d]\w*")
_MAXIMUM_TERMS = 200


@dataclass(frozen=True)
class RandomTerm:
    """Effects that vary, correlated with one another, over the levels of a group.

    Attributes:
        group: Columns whose combinations are the levels; two or more are an
            interaction, such as ``("community", "cohort")``.
        intercept: Whether the intercept varies.
        slopes: Effects that vary besides it, such as ``("time",)``.
    """

    group: tuple[str, ...]
    intercept: bool
    slopes: tuple[str, ...]

    @property
    def group_name(self) -> str:
        """The grouping factor as it is written, such as ``community:cohort``."""
        return ":".join(self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the term needs: of its group, then of its slopes."""
        slopes = (c for slope in self.slopes for c in slope.split(":"))
        return tuple(dict.fromkeys([*self.group, *slopes]))

    def __str__(self) -> str:
        effects = " + ".join(("1" if self.intercept else "0", *self.slopes))
        return f"({effects} | {self.group_name})"


@dataclass(frozen=True)
class ModelSpec:
    """A parsed model formula.

    Attributes:
        outcome: Left-hand side; None where the formula has none.
        fixed: Fixed part as written, blanks made even; ``1`` where there is none.
        fixed_terms: Its terms, expanded: one tuple of columns per term, the
            intercept being the empty tuple.
        random: Random terms, expanded, in written order.
    """

    outcome: str | None
    fixed: str
    fixed_terms: tuple[tuple[str, ...], ...]
    random: tuple[RandomTerm, ...]

    @property
    def fixed_columns(self) -> tuple[str, ...]:
        """Columns of the fixed part, in order of first use."""
        return tuple(dict.fromkeys(c for term in self.fixed_terms for c in term))

    def without_fixed(self, column: str) -> ModelSpec:
        """The model without every fixed term that holds the column.

        Examples:
            >>> str(parse_formula("a * b + (1 | g)").without_fixed("a"))
            'b + (1 | g)'
        """
        kept = tuple(t for t in self.fixed_terms if column not in t)
        return ModelSpec(self.outcome, _written(kept), kept, self.random)

    def without_random(self, group_name: str) -> ModelSpec:
        """The model without the random terms of one grouping factor."""
        kept = tuple(t for t in self.random if t.group_name != group_name)
        return ModelSpec(self.outcome, self.fixed, self.fixed_terms, kept)

    def without_slopes(self, group_name: str) -> ModelSpec:
        """The model with a random intercept alone for one grouping factor.

        Examples:
            >>> str(parse_formula("a + (1 + t | g)").without_slopes("g"))
            'a + (1 | g)'
        """
        mine = [t for t in self.random if t.group_name == group_name]
        plain = [RandomTerm(t.group, intercept=True, slopes=()) for t in mine[:1]]
        others = [t for t in self.random if t.group_name != group_name]
        return replace(self, random=(*plain, *others))

    def __str__(self) -> str:
        right = " + ".join((self.fixed, *(str(t) for t in self.random)))
        return right if self.outcome is None else f"{self.outcome} ~ {right}"


def parse_formula(formula: str) -> ModelSpec:
    """Parse a mixed-model formula in lme4's notation.

    Fixed terms take ``+ - * : / ^`` and parentheses over plain column names; random
    terms take ``|``, ``||`` (uncorrelated: one term each), ``:`` and ``/``
    (``a/b`` is ``a`` and ``a:b``). Functions are not evaluated: a formula comes from
    a study file, and a file must not run code.

    Args:
        formula: With or without a left-hand side.

    Returns:
        The specification, random terms expanded.

    Raises:
        ModelError: If the formula cannot be understood, in one sentence.

    Examples:
        >>> spec = parse_formula("y ~ year * class_year + (1 + time || student)")
        >>> spec.fixed_columns
        ('year', 'class_year')
        >>> [str(t) for t in spec.random]
        ['(1 | student)', '(0 + time | student)']
    """
    left, right = _sides(formula, _tokens(formula))
    fixed_tokens: list[str] = []
    random: list[RandomTerm] = []
    for sign, part in _summands(formula, right):
        inside = part[1:-1] if part[0] == "(" and _closes(part) else []
        if any(t in {"|", "||"} for t in inside):
            if sign == "-":
                raise _refusal(formula, "a random term cannot be subtracted")
            random.extend(_random_terms(formula, inside))
        elif any(t in {"|", "||"} for t in part):
            raise _refusal(
                formula, "a random term stands alone in parentheses, as (1 | student)"
            )
        else:
            fixed_tokens += [sign, *part] if fixed_tokens or sign == "-" else part
    terms = _expand(formula, fixed_tokens or ["1"])
    _refuse_repeats(formula, random)
    return ModelSpec(left, _spaced(fixed_tokens or ["1"]), terms, tuple(random))


def _refusal(formula: str, reason: str) -> ModelError:
    return ModelError(
        f"The formula {formula!r} cannot be understood: {reason}. Expected lme4's "
        "notation, such as academic_year + class_year + (1 | student) + "
        "(1 | community)."
    )


def _tokens(formula: str) -> list[str]:
    found: list[str] = []
    position = 0
    text = formula.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _refusal(formula, f"character {position + 1} belongs to no term")
        found.append(match["name"] or match["op"])
        position = match.end()
    if not found:
        raise _refusal(formula, "it is empty")
    for before, after in pairwise(found):
        if _NAME.fullmatch(before) and after == "(":
            raise _refusal(
                formula,
                f"{before}(...) would be a function; make it a column beforehand",
            )
    return found


def _sides(formula: str, tokens: list[str]) -> tuple[str | None, list[str]]:
    if tokens.count("~") > 1:
        raise _refusal(formula, "it has more than one ~")
    if "~" not in tokens:
        return None, tokens
    at = tokens.index("~")
    left, right = tokens[:at], tokens[at + 1 :]
    if not right:
        raise _refusal(formula, "nothing stands right of ~")
    if not left:
        return None, right
    if len(left) != 1 or not _NAME.fullmatch(left[0]):
        raise _refusal(formula, "one outcome stands left of ~")
    return left[0], right


def _summands(formula: str, tokens: list[str]) -> list[tuple[str, list[str]]]:
    """Split at the + and - that stand outside parentheses, keeping the sign."""
    parts: list[tuple[str, list[str]]] = [("+", [])]
    depth = 0
    for piece in tokens:
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            raise _refusal(formula, "a closing parenthesis has no opening one")
        if depth == 0 and piece in {"+", "-"}:
            parts.append((piece, []))
        else:
            parts[-1][1].append(piece)
    if depth:
        raise _refusal(formula, "a parenthesis is not closed")
    if not parts[0][1] and len(parts) > 1:
        parts = parts[1:]  # the formula begins with a sign
    if any(not part for _, part in parts):
        raise _refusal(formula, "a term is missing beside + or -")
    return parts


def _closes(part: list[str]) -> bool:
    """Whether the first parenthesis of a part closes at its very end."""
    depth = 0
    for index, piece in enumerate(part):
        depth += (piece == "(") - (piece == ")")
        if depth == 0:
            return index == len(part) - 1
    return False


def _random_terms(formula: str, tokens: list[str]) -> list[RandomTerm]:
    bars = [i for i, t in enumerate(tokens) if t in {"|", "||"}]
    if len(bars) > 1:
        raise _refusal(formula, "a random term has one bar")
    effects, group = tokens[: bars[0]], tokens[bars[0] + 1 :]
    groups = _groups(formula, group)
    if not effects:
        raise _refusal(formula, "nothing stands left of the bar")
    terms = _expand(formula, effects)
    intercept, slopes = () in terms, tuple(":".join(t) for t in terms if t)
    if not terms:
        raise _refusal(formula, "no effect is left before the bar")
    if tokens[bars[0]] == "|":
        return [RandomTerm(g, intercept, slopes) for g in groups]
    apart = [RandomTerm(g, True, ()) for g in groups] if intercept else []  # noqa: FBT003
    return apart + [RandomTerm(g, False, (s,)) for g in groups for s in slopes]  # noqa: FBT003


def _groups(formula: str, tokens: list[str]) -> list[tuple[str, ...]]:
    names, links = tokens[0::2], tokens[1::2]
    proper = len(tokens) % 2 == 1 and all(_NAME.fullmatch(n) for n in names)
    if not proper or any(link not in {":", "/"} for link in links):
        raise _refusal(
            formula, "right of the bar stand column names, joined by : or by /"
        )
    groups: list[tuple[str, ...]] = []
    current: tuple[str, ...] = (names[0],)
    for link, name in zip(links, names[1:], strict=True):
        if link == "/":
            groups.append(current)
        current = (*current, name)
    return [*groups, current]


def _expand(formula: str, tokens: list[str]) -> tuple[tuple[str, ...], ...]:
    """Expand ``* / ^`` and signs to terms; the empty tuple is the intercept."""
    try:
        terms = list(Formula(_spaced(tokens)))
        found = tuple(tuple(f.expr for f in t.factors) for t in terms)
    except (FormulaicError, AttributeError, TypeError, ValueError) as error:
        raise _refusal(formula, "a number or operator in it makes no term") from error
    if len(found) > _MAXIMUM_TERMS:
        raise _refusal(formula, f"it has more than {_MAXIMUM_TERMS} terms")
    plain = tuple(() if t == ("1",) else t for t in found)
    if any(not _NAME.fullmatch(name) for term in plain for name in term):
        raise _refusal(formula, "a number other than 0 or 1 stands as a term")
    return plain


def _refuse_repeats(formula: str, random: Sequence[RandomTerm]) -> None:
    seen: set[tuple[tuple[str, ...], str]] = set()
    for term in random:
        for effect in (*(["1"] if term.intercept else []), *term.slopes):
            key = (tuple(sorted(term.group)), effect)
            if key in seen:
                raise _refusal(
                    formula, f"{effect} varies over {term.group_name} more than once"
                )
            seen.add(key)


def _spaced(tokens: Iterable[str]) -> str:
    text = " ".join(tokens)
    return re.sub(r"\( | \)| (?:[:^]|\*\*) ", lambda m: m.group().strip(), text)


def _written(terms: tuple[tuple[str, ...], ...]) -> str:
    named = [":".join(t) for t in terms if t]
    if () not in terms:
        named.insert(0, "0")
    return " + ".join(named) or "1"
