"""What files are called among others."""

from __future__ import annotations

from pathlib import Path

from harness.files.paths import from_common_folder


def test_names_from_the_common_folder_however_many_slashes_stand_in_front() -> None:
    paths = [Path("/a/b/c.jpg"), Path("//a/b/d/e.jpg")]
    assert from_common_folder(paths) == [Path("c.jpg"), Path("d/e.jpg")]
    assert from_common_folder([Path("//x/y.jpg")]) == [Path("y.jpg")] and from_common_folder([]) == []
