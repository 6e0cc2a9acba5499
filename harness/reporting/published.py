"""The papers' own numbers, gathered from the plugins.

A file is YAML: `paper`, and `tables`, each with `table` (which table of which paper) and `rows` of `method`, `dataset` and any
of the metrics `mae`, `rmse` (what papers print as MSE), `nae`, `megabytes` (of weights), `seconds` (an image); `scenes` maps
scenes to MAE ("average" to the printed average), `categories` maps categories of images to metrics; `game` lists GAME(0) and
up. `method` is a method's name here (with its variant in brackets) where it has one, else as the paper prints it. Values are
copied as printed and never corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.host.plugins import Host

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth of the time
METRICS = ("mae", "rmse", "nae", "megabytes", "seconds")


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


class _Metrics(BaseModel):
    model_config = ConfigDict(extra="forbid")
    mae: float | None = None
    rmse: float | None = None
    nae: float | None = None
    megabytes: float | None = None
    seconds: float | None = None


class _Row(_Metrics):
    method: str
    dataset: str
    scenes: dict[str, float] = {}
    categories: dict[str, _Metrics] = {}
    game: list[float] = []


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
        paper = _Paper.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML ({str(error).splitlines()[0]})") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None
    return [value for table in paper.tables for row in table.rows for value in _values(paper.paper, table.table, row)]


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


def gather(host: Host) -> list[PublishedValue]:
    """The numbers of every plugin; a file that cannot be used is reported on its plugin and left out."""
    values = []
    for plugin, paths in host.lists("harness_published", "paths"):
        for path in paths:
            try:
                values += read(Path(path))
            except ValueError as error:
                plugin.errors.append(str(error))
    return values
