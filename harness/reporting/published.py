"""The papers' own numbers, gathered from the plugins.

A file is YAML: `paper`, and `tables`, each with `table` (which table of which paper) and `rows` of `method`, `dataset` and
any of the metrics `mae`, `rmse` (what papers print as MSE), `mse` (what they print as MSE and, by its size, took no root
of), `nae`, `megabytes` (of weights), `seconds` (an image); `scenes` maps scenes to MAE ("average" to the printed average),
`categories` maps categories of images to metrics; `game` lists GAME(0) and up. `method` is a method's name here (with its
variant in brackets) where it has one, else as the paper prints it. Values are copied as printed and never corrected.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import nearest
from harness.files.yaml_file import exponents_are_numbers
from harness.host.plugins import Host, Plugin


@dataclass(frozen=True)
class PublishedValue:
    """One number of one table of one paper."""

    paper: str
    table: str
    method: str
    dataset: str
    metric: str
    value: float
    scene: str = ""
    category: str = ""


@exponents_are_numbers
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the one in C takes a tenth of the time
    """1e2 is a number, as in experiments."""


Number = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class _Metrics(BaseModel):
    model_config = ConfigDict(extra="forbid")
    mae: Number | None = None
    rmse: Number | None = None
    mse: Number | None = None
    nae: Number | None = None
    megabytes: Number | None = None
    seconds: Number | None = None


METRICS = tuple(_Metrics.model_fields)


class _Row(_Metrics):
    method: str
    dataset: str
    scenes: dict[str, Number] = {}
    categories: dict[str, _Metrics] = {}
    game: list[Number] = []


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")
    table: str
    rows: list[_Row]


class _Paper(BaseModel):
    model_config = ConfigDict(extra="forbid")
    paper: str
    tables: list[_Table]


def read(path: Path) -> list[PublishedValue]:
    """Every number in `path`.

    Raises:
        ValueError: missing, not YAML, or not of the schema above; the message starts with the path.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        _refuse_doubles(node, set())
        paper = _Paper.model_validate(loader.construct_document(node) if node else None)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not text in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{path}{where}: not YAML ({what}{_quotes(path, mark)})") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {_told(error)}") from None
    return [value for table in paper.tables for row in table.rows for value in _values(paper.paper, table.table, row)]


def _refuse_doubles(node: Any, seen: set[int]) -> None:
    """Raises `yaml.YAMLError` for a key that is there twice, which would hide one of two numbers."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))  # what an alias leads to is there already
    pairs = node.value if isinstance(node, yaml.MappingNode) else [(None, item) for item in node.value]
    keys = [(key.tag, key.value) for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
    for number, (key, value) in enumerate(pairs):
        if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys[:number]:
            raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
        _refuse_doubles(value, seen)


def _quotes(path: Path, mark: Any) -> str:
    lines = path.read_text(encoding="utf-8").splitlines() if mark else []
    unquoted = mark and mark.line < len(lines) and re.search(r"method: *\w+\[", lines[mark.line])
    return "; a variant in brackets needs quotes" if unquoted else ""


def _told(error: ValidationError) -> str:
    """What is wrong with a file, its parts counted from 1: "table 1, row 3: unknown key 'mea'. Did you mean 'mae'?"."""
    first = error.errors()[0]
    place = [one for one in first["loc"] if one != "[key]"]
    steps = [PARTS[str(one)].format(two + 1 if isinstance(two, int) else repr(two)) for one, two in _named(place)]
    last = place[-1] if place else "file"
    rest = [] if not place or (len(place) > 1 and place[-2] in PARTS) else [str(last)]
    if first["type"] == "extra_forbidden":
        forms: dict[int, type[BaseModel]] = {1: _Paper, 3: _Table, 5: _Row}
        fields = forms.get(len(place), _Metrics).model_fields
        return f"{', '.join(steps) or 'file'}: unknown key {last!r}.{nearest(str(last), fields)} Known: {', '.join(fields)}."
    what = "expected keys and values" if first["type"] == "model_type" else first["msg"]
    return f"{', '.join([*steps, *rest]) or 'file'}: {what}"


# What a list or a mapping of a file is made of.
PARTS = {
    "tables": "table {}",
    "rows": "row {}",
    "game": "GAME value {}",
    "scenes": "scene {}",
    "categories": "category {}",
}


def _named(place: list[Any]) -> list[tuple[Any, Any]]:
    return [(one, two) for one, two in pairwise(place) if one in PARTS]


def _values(paper: str, table: str, row: _Row) -> list[PublishedValue]:
    categories = [
        PublishedValue(paper, table, row.method, row.dataset, metric, value, category=category)
        for category, metrics in {"": row, **row.categories}.items()
        for metric in METRICS
        if (value := getattr(metrics, metric)) is not None
    ]
    scenes = [
        PublishedValue(paper, table, row.method, row.dataset, "mae", value, scene)
        for scene, value in row.scenes.items()
    ]
    game = [
        PublishedValue(paper, table, row.method, row.dataset, f"game{n}", value) for n, value in enumerate(row.game)
    ]
    return categories + scenes + game


def decimals(value: float) -> int:
    """How many `value` is printed with."""
    return len(f"{value:g}".partition(".")[2])


def half_a_unit(decimals: int) -> float:
    """How far a value printed with so many may be from what it stands for."""
    return 0.5 * 10**-decimals * 1.001


def gather(host: Host) -> list[PublishedValue]:
    """The numbers of every plugin; a file that cannot be used is reported on its plugin and left out."""
    return [value for _, value in brought(host)]


def brought(host: Host) -> list[tuple[Plugin, PublishedValue]]:
    """The same, each with the plugin that brings it."""
    found: list[tuple[Plugin, PublishedValue]] = []
    for plugin, paths in host.lists("harness_published", "paths"):
        for path in paths:
            if not isinstance(path, str | os.PathLike):
                plugin.errors.append(f"harness_published returned an item of {type(path).__name__}; expected a path")
                continue
            try:
                found += [(plugin, value) for value in read(Path(path))]
            except ValueError as error:
                plugin.errors.append(str(error))
    return found
