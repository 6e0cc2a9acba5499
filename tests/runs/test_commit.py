"""The commit in a record, by a repository of the test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.runs.commit import commit

AS_SOMEBODY = ("-c", "user.name=a", "-c", "user.email=a@b.c")


def test_a_commit_and_whether_files_were_changed_since(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *AS_SOMEBODY, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    fresh = commit.__wrapped__
    assert fresh(tmp_path) == ""
    git("init", "-q")
    assert fresh(tmp_path) == "", "nothing is committed yet"
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness/a.py").write_text("1")
    git("add", "."), git("commit", "-qm", "a")
    head = git("rev-parse", "HEAD")
    assert fresh(tmp_path) == head[:12]
    (tmp_path / "notes.txt").write_text("untracked files and those of other folders are no code")
    assert fresh(tmp_path) == head[:12]
    (tmp_path / "harness/a.py").write_text("2")
    assert fresh(tmp_path) == head[:12] + "+"
