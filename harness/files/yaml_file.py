"""YAML files a person writes: their values, and the line of each, so that a mistake can be named by its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import HarnessError, one_line, printable

Place = tuple[str | int, ...]
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$")


@dataclass(frozen=True)
class Sheet:
    """What a YAML file says.

    Attributes:
        lines: from a place in `values` (keys and positions from the top) to its line, counted from 1: of a value under a key
            that of the key.
    """

    path: Path
    values: dict[str, Any]
    lines: dict[Place, int]

    def nearest(self, place: Place) -> Place:
        """`place` without those of its parts that are not in the file."""
        found: Place = ()
        for part in place:
            if (*found, part) in self.lines:
                found = (*found, part)
        return found

    def where(self, place: Place) -> str:
        """ "experiment.yaml, line 3": where `place` is, or the nearest part of the file around it."""
        found = self.nearest(place)
        return f"{self.path}, line {self.lines[found]}" if found else str(self.path)


def exponents_are_numbers(kind: Any) -> Any:
    """Decorates a loader or dumper of PyYAML's: 3e-4 is a number to it, as in YAML 1.2."""
    kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    return kind


@exponents_are_numbers
class _Loader(yaml.SafeLoader):
    """Plain values alone; an anchor would have no one line, and may grow without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases (*) are not read here", event.start_mark)
        return super().compose_node(parent, index)


@exponents_are_numbers
class _Dumper(yaml.SafeDumper):
    """Quotes words that `_Loader` would take for numbers."""


def as_yaml(values: Any, width: int = 100, flow: bool | None = None) -> str:
    """`values` as YAML that `read` takes for the same; `flow` as PyYAML's `default_flow_style`."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=width)


def read(path: Path) -> Sheet:
    """The YAML file at `path`: one document whose top is keys and values.

    Raises:
        HarnessError: it cannot be read, is no such YAML, or has a key twice. The line is named.
    """
    try:
        loader = _Loader(path.read_bytes().decode("utf-8-sig"))
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise HarnessError(f"{path}: expected keys and values, e.g. 'methods: mcnn'; found {_kind(node)}")
        lines = dict(_lines(node, (), path))
        return Sheet(path, loader.construct_document(node), lines)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise HarnessError(f"{path}: not text in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise HarnessError(f"{path}{line}: not YAML: {printable(error.problem or error.context or '?')}") from None
    except RecursionError:
        raise HarnessError(f"{path}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:  # no date 2020-13-45, say
        raise HarnessError(f"{path}: not YAML: {one_line(error)}") from None


def _kind(node: yaml.Node | None) -> str:
    return "nothing" if node is None else "a list" if isinstance(node, yaml.SequenceNode) else "a word"


def _lines(node: yaml.Node, place: Place, path: Path) -> Iterator[tuple[Place, int]]:
    """Every place at and below `node` with its line."""
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*place, number), item.start_mark.line + 1
            yield from _lines(item, (*place, number), path)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = key.value
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith(":str"):
                raise HarnessError(f"{path}, line {line}: a key that is no word")
            if name in seen:
                raise HarnessError(
                    f"{path}, line {line}: key {printable(name)!r} is there twice, first in line {seen[name]}"
                )
            seen[name] = line
            yield (*place, name), line
            yield from _lines(value, (*place, name), path)
