"""lme4's notation: what expands to what, and the sentence for what makes no sense.

Expansions are those of lme4's documentation (Bates et al. 2015, table 2).
"""

from __future__ import annotations

import pytest

from analyses.formula import RandomTerm, parse_formula
from data_contracts.errors import ModelError


def test_whole_model_of_the_field() -> None:
    spec = parse_formula(
        "exhaustion ~ academic_year * class_year + (1 + time | student) + "
        "(1 | community) + (1 | community:cohort)"
    )

    assert spec.outcome == "exhaustion"
    assert spec.fixed == "academic_year * class_year"
    assert spec.fixed_terms == (
        (),
        ("academic_year",),
        ("class_year",),
        ("academic_year", "class_year"),
    )
    assert spec.random == (
        RandomTerm(("student",), intercept=True, slopes=("time",)),
        RandomTerm(("community",), intercept=True, slopes=()),
        RandomTerm(("community", "cohort"), intercept=True, slopes=()),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("(1 | a/b/c)", "(1 | a) + (1 | a:b) + (1 | a:b:c)"),
        ("(x || g)", "(1 | g) + (0 + x | g)"),
        ("(0 + x + z || g)", "(0 + x | g) + (0 + z | g)"),
        ("(x | g)", "(1 + x | g)"),
        ("(-1 + x | g)", "(0 + x | g)"),
        ("(x * z | a/b)", "(1 + x + z + x:z | a) + (1 + x + z + x:z | a:b)"),
    ],
)
def test_random_terms_expand_as_in_lme4(written: str, meant: str) -> None:
    assert parse_formula(written).random == parse_formula(meant).random


@pytest.mark.parametrize(
    ("written", "terms"),
    [
        ("1", [()]),
        ("0 + a", [("a",)]),
        ("a - 1", [("a",)]),
        ("a / b", [(), ("a",), ("a", "b")]),
        ("(a + b)^2", [(), ("a",), ("b",), ("a", "b")]),
        ("a * b - a:b", [(), ("a",), ("b",)]),
        ("class + LC", [(), ("class",), ("LC",)]),
        ("(1 | g) + a", [(), ("a",)]),
        ("(1 | g)", [()]),
    ],
)
def test_fixed_terms_expand(written: str, terms: list[tuple[str, ...]]) -> None:
    assert parse_formula(written).fixed_terms == tuple(terms)


def test_printed_formula_means_the_same() -> None:
    spec = parse_formula("y~(a+b)*c+(1+x||s)+(1|g:h)")

    again = parse_formula(str(spec))

    assert (again.fixed_terms, again.random) == (spec.fixed_terms, spec.random)
    assert str(spec) == "y ~ (a + b) * c + (1 | s) + (0 + x | s) + (1 | g:h)"


def test_terms_can_be_left_out() -> None:
    spec = parse_formula("a * b + (1 | student) + (1 | community)")

    assert str(spec.without_fixed("a").without_random("student")) == (
        "b + (1 | community)"
    )
    assert str(parse_formula("a + (1 | g)").without_fixed("a")) == "1 + (1 | g)"
    assert parse_formula("0 + a + b").without_fixed("a").fixed == "0 + b"


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("", "it is empty"),
        ("y ~", "nothing stands right of ~"),
        ("a ~ b ~ c", "it has more than one ~"),
        ("y + z ~ a", "one outcome stands left of ~"),
        ("a +", "a term is missing beside + or -"),
        ("a ++ b", "a term is missing beside + or -"),
        ("a + (1 | g", "a parenthesis is not closed"),
        ("a) + b", "a closing parenthesis has no opening one"),
        ("a + 1 | g", "a random term stands alone in parentheses"),
        ("a * (1 | g)", "a random term stands alone in parentheses"),
        ("a - (1 | g)", "a random term cannot be subtracted"),
        ("(1 | g | h)", "a random term has one bar"),
        ("( | g)", "nothing stands left of the bar"),
        ("(0 | g)", "no effect is left before the bar"),
        ("(1 | )", "right of the bar stand column names"),
        ("(1 | a + b)", "right of the bar stand column names"),
        ("(1 | g) + (1 + x | g)", "1 varies over g more than once"),
        ("(1 | a:b) + (1 | b:a)", "1 varies over b:a more than once"),
        ("log(a)", "log(...) would be a function"),
        ("(1 | f(x))", "f(...) would be a function"),
        ("__import__('os')", "character 12 belongs to no term"),
        ("a.b", "character 2 belongs to no term"),
        ("a + 2", "a number or operator in it makes no term"),
        ("a b", "a number or operator in it makes no term"),
        ("a:1", "a number other than 0 or 1 stands as a term"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(formula: str, reason: str) -> None:
    with pytest.raises(ModelError) as refused:
        parse_formula(formula)

    assert reason in str(refused.value)
    assert "Expected lme4's notation" in str(refused.value)
