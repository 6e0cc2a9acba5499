"""The conformance kit as a pytest plugin: any test of a plugin package may ask for `check_method`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def check_method() -> Callable[..., None]:
    """`check_method(METHOD)`: fails the test with a line for each thing the method does not do; see `harness.testing`."""
    from harness.testing import check_method as check

    return check
