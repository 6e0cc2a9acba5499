"""The conformance kit: what every method must do, as one call for its author's tests.

    def test_my_method(check_method) -> None:
        check_method("my_method")

The fixture is there wherever the harness is installed (`harness.pytest_plugin`); without pytest, import `check_method` from
here.
`harness plugins check my_method` does the same from the command line.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.errors import HarnessError, one_line
from harness.method import Method
from harness.testing import checks
from harness.training.backend import BACKENDS
from harness.training.complaints import place_of


@dataclass(frozen=True)
class Verdict:
    """What one check found: `ok`, and in words what it saw."""

    check: str
    ok: bool
    message: str


def check_method(
    method: Method | str, plugin_files: Iterable[Path] = (), backends: Iterable[str] | None = None
) -> None:
    """Checks one method; pytest shows every failed check.

    Args:
        method: a method's name, with a variant in brackets to check that ("sasnet[no_pra]"), or the value itself.
        plugin_files: files that bring it, where it is not installed.
        backends: on which it must do a step; where None its own (`Method.backend`), else those that are installed.

    Raises:
        AssertionError: at least one check failed; the message has a line for each.
    """
    failed = [verdict for verdict in verdicts(method, plugin_files, backends) if not verdict.ok]
    if failed:
        name = method if isinstance(method, str) else method.name
        lines = "\n".join(f"  {verdict.check}: {verdict.message}" for verdict in failed)
        raise AssertionError(f"method {name} fails {len(failed)} checks:\n{lines}")


def verdicts(
    method: Method | str, plugin_files: Iterable[Path] = (), backends: Iterable[str] | None = None
) -> Iterator[Verdict]:
    """Runs the checks one by one.

    Once the network builds, its output is as declared and the same twice, each is tried whatever became of those before it.
    """
    from harness.host.plugins import load_host
    from harness.runs.plan import parse_method
    from harness.training import backend
    from harness.training.chosen import use_for

    files = [Path(file).resolve() for file in plugin_files]
    host = load_host(files)
    name, variant = parse_method(host, method) if isinstance(method, str) else (method.name, "")
    chosen = host.method(name) if isinstance(method, str) else method
    options = checks.options_of(chosen, variant)
    use_for(chosen)
    backend.start()
    backend.prepare(0)
    yield _verdict("recipe", partial(checks.try_recipe, datasets=tuple(host.benchmarks)), chosen)
    try:
        network = checks.builds(chosen, options)
    except HarnessError as error:
        yield Verdict("builds", False, str(error))
        return
    yield Verdict("builds", True, f"{network.count_params():,} weights")
    output = _verdict("output", partial(checks.try_output, network=network), chosen)
    if not output.ok:  # the others would say the same again, each in its own words
        yield replace(output, message=f"{output.message}. The other checks wait for this one")
        return
    yield output
    repeats = _verdict("same output twice", partial(checks.try_repeatable, network=network), chosen)
    if not repeats.ok:
        yield replace(repeats, message=f"{repeats.message}. The other checks wait for this one")
        return
    yield repeats
    for what, check in (
        ("any size", checks.try_any_size),
        ("margin", checks.try_margin),
        ("loss", checks.try_loss),
        ("names", checks.try_names),
        ("density scale", checks.try_scale),
        ("loss and gradients", checks.try_gradients),
        ("save and load", checks.try_round_trip),
        ("inference network", checks.try_inference),
    ):
        yield _verdict(what, partial(check, network=network, options=options), chosen)
    if chosen.variants and not variant:
        yield _verdict("variants", checks.try_variants, chosen)
    if isinstance(method, str):
        yield _verdict("published numbers", partial(checks.try_published, host=host), chosen)
    those = [chosen.backend] if chosen.backend else filter(importlib.util.find_spec, BACKENDS)
    for one in backends if backends is not None else those:
        yield _verdict(
            f"a step on {one}",
            partial(checks.try_step_elsewhere, variant=variant, backend_name=one, files=files),
            chosen,
        )


def _verdict(name: str, check: Callable[[Method], str], method: Method) -> Verdict:
    try:
        return Verdict(name, True, check(method))
    except (AssertionError, HarnessError) as error:
        return Verdict(name, False, str(error) or "failed")
    except Exception as error:
        place = place_of(error, method)
        return Verdict(name, False, one_line(error) + (f" ({place})" if place else ""))
