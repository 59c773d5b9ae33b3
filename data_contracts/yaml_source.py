"""YAML as plain data, with the line of every key and item.

PyYAML reads; this module keeps the marks that it would drop, so that a mistake in
a file that a person wrote can be named by its line. Repeated keys are mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_contracts.errors import Problem

__all__ = ["Place", "YamlSource", "dotted", "read_yaml"]

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlSource:
    """A parsed YAML file.

    Attributes:
        data: Mappings, lists and scalars; dates stay text.
        lines: Line (from 1) of every path in the file.
        problems: What the parser itself refused: broken syntax, repeated keys.
    """

    data: Any
    lines: dict[Place, int]
    problems: tuple[Problem, ...]

    def line(self, place: Place) -> int | None:
        """Line of a path, or of its nearest parent that stands in the file."""
        for end in range(len(place), -1, -1):
            if place[:end] in self.lines:
                return self.lines[place[:end]]
        return None


class _TextDateLoader(yaml.SafeLoader):
    """SafeLoader without date resolution: pydantic decides what is a date."""


_TextDateLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if "timestamp" not in tag]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML file with its lines.

    Args:
        path: File to read, UTF-8.

    Returns:
        The data, the lines and the parser's own complaints; ``data`` is None where
        the syntax is broken.

    Raises:
        OSError: If the file cannot be opened.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = Problem(
            line=None,
            place="file",
            found=f"bytes that are not UTF-8 at byte {error.start}",
            expected="a text file in UTF-8",
            action="Save it as UTF-8.",
        )
        return YamlSource(None, {}, (problem,))
    loader = _TextDateLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return YamlSource(None, {}, ())
        lines: dict[Place, int] = {}
        problems: list[Problem] = []
        _mark(node, (), lines=lines, problems=problems, parents=())
        data = None if problems and _is_cyclic(problems) else _build(loader, node)
        return YamlSource(data, lines, tuple(problems))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "something YAML cannot read"
        problem = Problem(
            line=mark.line + 1 if mark else None,
            place="syntax",
            found=str(said),
            expected="valid YAML",
            action="Check indentation, colons and quotes on this line.",
        )
        return YamlSource(None, {}, (problem,))
    finally:
        loader.dispose()


def _build(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_document(node)


def _is_cyclic(problems: list[Problem]) -> bool:
    return any(p.found.startswith("an anchor") for p in problems)


def _mark(
    node: yaml.Node,
    place: Place,
    *,
    lines: dict[Place, int],
    problems: list[Problem],
    parents: tuple[int, ...],
) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if id(node) in parents:
        problems.append(
            Problem(
                line=node.start_mark.line + 1,
                place=dotted(place),
                found="an anchor that contains itself",
                expected="a plain value",
                action="Write the value out.",
            )
        )
        return
    inside = (*parents, id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = str(getattr(key_node, "value", ""))
            line = key_node.start_mark.line + 1
            here = (*place, key)
            if key in seen and key != "<<":
                problems.append(
                    Problem(
                        line=line,
                        place=dotted(here),
                        found=f"the key a second time (first on line {seen[key]})",
                        expected="every key once",
                        action="Remove one of the two.",
                    )
                )
            seen.setdefault(key, line)
            lines[here] = line
            _mark(value_node, here, lines=lines, problems=problems, parents=inside)
            lines[here] = line
    elif isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            here = (*place, index)
            lines[here] = child.start_mark.line + 1
            _mark(child, here, lines=lines, problems=problems, parents=inside)


def dotted(place: Place) -> str:
    """Write a path as people read it.

    Examples:
        >>> dotted(("waves", 2, "file"))
        'waves[2].file'
    """
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "file"
