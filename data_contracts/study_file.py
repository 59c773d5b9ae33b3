"""Reading study.yaml: one frozen ``Study``, or every mistake with its line."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from data_contracts.errors import Problem, StudyFileError
from data_contracts.study import Study
from data_contracts.study_checks import cross_check
from data_contracts.yaml_source import Place, YamlSource, dotted, read_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["STUDY_FILE", "load_study", "study_digest"]

STUDY_FILE = "study.yaml"
_SHOWN = 60


def load_study(folder: Path) -> Study:
    """Read and check the study file of a study folder, whole.

    Args:
        folder: Study folder that holds study.yaml.

    Returns:
        The frozen study.

    Raises:
        StudyFileError: If the file is missing, is not YAML or breaks any rule; all
            mistakes are listed, each with its line.
    """
    path = folder / STUDY_FILE
    try:
        source = read_yaml(path)
    except OSError:
        problem = Problem(
            line=None,
            place="file",
            found=f"no readable {STUDY_FILE} in {folder}",
            expected="a study folder",
            action="Make one with `lcwaves new-study DIR`, or name it with --study.",
        )
        raise StudyFileError(str(path), [problem]) from None
    problems = list(source.problems)
    study: Study | None = None
    if not problems or source.data is not None:
        study, shape = _validate(source)
        problems += [*shape, *_relations(source)]
    if problems or study is None:
        ordered = sorted(set(problems), key=lambda p: (p.line or 0, p.place, p.found))
        raise StudyFileError(str(path), ordered)
    return study


def study_digest(folder: Path) -> str:
    """SHA-256 of the study file's bytes."""
    return hashlib.sha256((folder / STUDY_FILE).read_bytes()).hexdigest()


def _relations(source: YamlSource) -> Iterator[Problem]:
    for mistake in cross_check(source.data):
        yield Problem(
            line=source.line(mistake.place),
            place=dotted(mistake.place),
            found=mistake.found,
            expected=mistake.expected,
            action=mistake.action,
        )


def _validate(source: YamlSource) -> tuple[Study | None, list[Problem]]:
    try:
        return Study.model_validate(source.data), []
    except ValidationError as error:
        return None, [_problem(source, e) for e in error.errors() if not _echo(e)]


def _echo(error: ErrorDetails) -> bool:
    """Whether a list is called too short only because its items were refused."""
    return error["type"] == "too_short" and bool(error["input"])


def _problem(source: YamlSource, error: ErrorDetails) -> Problem:
    place: Place = tuple(error["loc"])
    kind, message = error["type"], error["msg"]
    found = repr(error["input"])
    found = found if len(found) <= _SHOWN else found[: _SHOWN - 1] + "…"
    expected, action = _lowered(message), "Mend the value."
    if kind == "missing":
        found, expected = "nothing", f"the setting {place[-1]}"
        action = "Add it."
    elif kind == "extra_forbidden":
        names = _allowed_names(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), names, n=1)
        found = f"the unknown setting {place[-1]!r}"
        expected = f"one of {', '.join(names)}" if names else "a known setting"
        action = f"Did you mean {near[0]!r}?" if near else "Remove it."
    elif kind == "value_error":
        found, expected = "a contradiction", _lowered(message.partition(", ")[2])
        action = "Mend one of the two."
    elif kind == "literal_error":
        action = "Write one of these."
    elif kind == "string_pattern_mismatch":
        expected = f"text like {error.get('ctx', {}).get('pattern', '')}"
    elif kind == "string_type" and isinstance(error["input"], bool | int | float):
        expected, action = "text", f'Put it in quotes: "{error["input"]}".'
    return Problem(
        line=source.line(place),
        place=dotted(place),
        found=found,
        expected=expected,
        action=action,
    )


def _lowered(message: str) -> str:
    text = message.removeprefix("Input should be ").removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _allowed_names(place: Place) -> list[str]:
    """Names of the settings that may stand at a path of the study file."""
    annotation: Any = Study
    for part in place:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field is not None else None
        else:  # a list's position or a mapping's key: go on to what it holds
            annotation = next(iter(reversed(get_args(annotation))), None)
        annotation = _without_alternatives(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sorted(annotation.model_fields)
    return []


def _without_alternatives(annotation: Any) -> Any:
    """The type inside ``Annotated[...]``, ``... | None`` and ``tuple[..., ...]``."""
    if get_origin(annotation) is Annotated:
        return _without_alternatives(get_args(annotation)[0])
    inner = [a for a in get_args(annotation) if a not in (type(None), Ellipsis)]
    if get_origin(annotation) is tuple:
        return tuple[inner[0]]  # type: ignore[valid-type]
    if isinstance(annotation, UnionType) and len(inner) == 1:
        return inner[0]
    return annotation
