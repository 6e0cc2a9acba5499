"""Which commit of the harness a run was made by, where it runs from a checkout."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 10


@lru_cache(maxsize=1)
def commit(root: Path = ROOT) -> str:
    """Twelve digits of the commit of the checkout `root`, with a "+" where files of it were changed since.

    Empty where there is no checkout, as behind a wheel, or no git. Of the first call: call it as a run begins.
    """
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "harness", "plugins")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    return done.stdout.strip()
