"""`harness plugins new`: a complete plugin package to start from."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from harness.errors import HarnessError
from harness.files.atomic import written

TEMPLATES = "templates/plugin"


def write(name: str, out: Path) -> list[Path]:
    """Writes the package of a method called `name` into the new folder `out`; returns its files.

    Raises:
        HarnessError: `name` is no lower-case Python name, or `out` is there and not empty.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if not re.fullmatch(r"[a-z]([a-z0-9_]*[a-z0-9])?", name) or keyword.iskeyword(name):
        raise HarnessError(
            f"{name!r}: expected a method's name in small letters, digits and, within it, underscores, e.g. my_method"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HarnessError(f"{out}: already there; expected a new or empty folder")
    environment = Environment(
        loader=PackageLoader("harness.host", TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    words = {
        "name": name,
        "module": f"crowd_harness_{name}",
        "distribution": f"crowd-harness-{name.replace('_', '-')}",
        "title": name.replace("_", " ").capitalize(),
    }
    paths = []
    for template in sorted(environment.list_templates()):
        path = out / template.removesuffix(".jinja").replace("MODULE", words["module"]).replace("METHOD", name)
        with written(path) as temporary:
            temporary.write_text(environment.get_template(template).render(**words), encoding="utf-8")
        paths.append(path)
    return paths
