"""Finding plugins, loading them one by one, and asking each what it adds.

A plugin that fails to import, names an unknown hook, raises or returns nonsense is reported on its `Plugin` and the rest
go on. (Plain pluggy aborts the whole hook call at the first exception, and is silent about a misspelt hook.)
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from harness import hookspecs
from harness.benchmark import Benchmark
from harness.errors import HarnessError, one_line, unknown_name
from harness.host.beside import make_importable
from harness.host.development import digest_of_file, version_of
from harness.method import Method
from harness.metrics import Metric
from harness.run import out_of_brackets

HARNESS = Path(__file__).parents[1]
GROUP = "crowd_harness"
OWN = "crowd-harness"  # the distribution of the harness, whose version is that of the methods in it
_HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("harness_"))


@dataclass
class Plugin:
    """One plugin: where it comes from, what it adds, what is wrong with it."""

    name: str
    distribution: str
    version: str
    adds: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    module: Any = None

    @property
    def origin(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def hooks(self) -> list[str]:
        """The hooks that it implements."""
        return sorted(vars(self.module)) if self.module else []


@dataclass
class Host:
    """Every loaded plugin, and the names they brought."""

    plugins: list[Plugin]
    methods: dict[str, Method]
    benchmarks: dict[str, Benchmark]
    metrics: dict[str, Metric]
    method_plugin: dict[str, Plugin]
    clashes: dict[tuple[str, str], str]

    def method(self, name: str) -> Method:
        """The method called `name`, or `HarnessError` with the nearest known name."""
        self._refuse_clash("method", name)
        base, variant = out_of_brackets(name)
        if variant and base in self.methods:
            raise HarnessError(f"method {name!r}: expected {base!r}; a weights file says itself of which variant it is")
        if name not in self.methods:
            raise self._unknown("method", name, self.methods)
        return self.methods[name]

    def benchmark(self, name: str) -> Benchmark:
        """The benchmark called `name`, or the folder of one's own data; `HarnessError` with the nearest known name."""
        self._refuse_clash("dataset", name)
        if name in self.benchmarks:
            return self.benchmarks[name]
        folder = Path(name)
        if folder.is_dir():
            from harness.data.datasets.folder import benchmark_of

            return benchmark_of(folder.resolve(), frozenset(self.benchmarks))
        if "/" in name:
            raise HarnessError(f"dataset {name}: no such folder")
        raise self._unknown("dataset", name, self.benchmarks)

    def call(self, hook: str, **arguments: Any) -> Iterator[tuple[Plugin, Any]]:
        """(plugin, result) for each plugin that implements `hook`; one that raises is reported and passed over."""
        for plugin in self.plugins:
            function = getattr(plugin.module, hook, None) if plugin.module else None
            if function is None:
                continue
            try:
                wanted = inspect.signature(function).parameters.keys() & arguments.keys()
                result = function(**{key: arguments[key] for key in wanted})
            except (Exception, SystemExit) as error:
                plugin.errors.append(f"{hook} raised {_told(error)}")
            else:
                yield plugin, result

    def lists(self, hook: str, of: str, **arguments: Any) -> Iterator[tuple[Plugin, list[Any] | tuple[Any, ...]]]:
        """`call` of a hook that returns a list of `of`; a plugin that returns anything else is reported and passed over."""
        for plugin, result in self.call(hook, **arguments):
            if isinstance(result, list | tuple):
                yield plugin, result
            else:
                plugin.errors.append(f"{hook} returned {type(result).__name__}; expected a list of {of}")

    def _unknown(self, kind: str, name: str, known: Iterable[str]) -> HarnessError:
        """The error for a name that nothing brought; where a plugin could not be loaded, that is said, and no guess is made."""
        broken = next((plugin for plugin in self.plugins if plugin.errors and not plugin.adds), None)
        if broken is None:
            return unknown_name(kind, name, known)
        said = f"plugin {broken.name} ({broken.origin}) brought nothing, mend it first: {broken.errors[0]}"
        return HarnessError(f"unknown {kind} {name!r}: {said}")

    def _refuse_clash(self, kind: str, name: str) -> None:
        if (kind, name) in self.clashes:
            raise HarnessError(self.clashes[kind, name])


def load_host(files: Iterable[Path] = ()) -> Host:
    """The host with the built-in benchmarks, every installed plugin of entry-point group `crowd_harness`, and `files`."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = [_load(manager, plugin, loader) for plugin, loader in _found(files)]
    host = Host(plugins, {}, {}, {}, {}, {})
    _collect(host, "harness_methods", Method, host.methods, "method")
    _collect(host, "harness_benchmarks", Benchmark, host.benchmarks, "dataset")
    _collect(host, "harness_metrics", Metric, host.metrics, "metric")
    return host


def _found(files: Iterable[Path]) -> Iterator[tuple[Plugin, Any]]:
    from harness import __version__

    yield Plugin("builtin", OWN, __version__), _builtin
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        distribution = entry.dist.name if entry.dist else "unknown"
        version = __version__ if distribution == OWN else version_of(entry)
        yield Plugin(entry.name, distribution, version), entry.load
    for file in files:
        digest = digest_of_file(file) if file.is_file() else "missing"
        # By its name and content, not its place: they are part of a run's identity.
        yield Plugin(file.stem, file.name, digest), lambda file=file: _load_file(file)


def _builtin() -> ModuleType:
    from harness.host import builtin

    return builtin


def _load_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise HarnessError(f"{file}: no such plugin file")
    spec = importlib.util.spec_from_file_location(f"crowd_harness_file_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise HarnessError(f"{file}: not a Python file")
    beside = str(file.resolve().parent)
    make_importable(file)
    if beside not in sys.path:  # for names that a program makes up: behind all that is installed
        sys.path.append(beside)
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module  # as of any import: a dataclass looks up its own module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        if before is not None:
            sys.modules[spec.name] = before
        raise
    return module


def _load(manager: pluggy.PluginManager, plugin: Plugin, loader: Any) -> Plugin:
    try:
        module = loader()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        plugin.errors.append(f"failed to import: {_told(error)}")
        return plugin
    plugin.errors += _unknown_hooks(manager, module)
    try:
        # Not by its name: a file may be called as an installed plugin is, and what it brings is then told apart, or refused.
        manager.register(module, f"{plugin.name} {id(module)}")
    except Exception as error:  # pluggy's, which begins with the plugin's name and a number
        plugin.errors.append("; ".join(str(error).splitlines()[1:]) or str(error))
        return plugin
    plugin.module = _Implementations(manager, module)
    return plugin


def _told(error: BaseException) -> str:
    """An error of a plugin's in one line, and the line of its file; those that it words itself whole."""
    said = f"{type(error).__name__}: {error}" if isinstance(error, HarnessError) else one_line(error)
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_its_own(frame.filename)]
    return f"{said} ({Path(lines[-1].filename).name}:{lines[-1].lineno})" if lines else said


def _is_its_own(file: str) -> bool:
    """Whether a line of a traceback is the plugin's (or of what it uses): not the harness', nor Python's own."""
    inside = Path(file).parents
    of_python = Path(sysconfig.get_path("stdlib")) in inside and "site-packages" not in file
    return not file.startswith("<") and HARNESS not in inside and not of_python


class _Implementations:
    """The known hook functions of one plugin module, as attributes."""

    def __init__(self, manager: pluggy.PluginManager, module: Any) -> None:
        for name in _HOOKS:
            function = getattr(module, name, None)
            if function is not None and manager.parse_hookimpl_opts(module, name) is not None:
                setattr(self, name, function)


def _unknown_hooks(manager: pluggy.PluginManager, module: Any) -> list[str]:
    """One message for each function that is marked as, or named like, a hook and is none."""
    messages = []
    for name in dir(module):
        options = manager.parse_hookimpl_opts(module, name) if callable(getattr(module, name, None)) else None
        marked = options is not None
        if options and (given := [each for each in ("wrapper", "hookwrapper", "specname") if options[each]]):
            messages.append(
                f"{name}: hookimpl has no {given[0]} here; expected a function of a hook's name that returns its list"
            )
        elif name in _HOOKS and not marked:
            messages.append(f"{name} is not marked with @harness.hookimpl, so it is never called")
        elif name not in _HOOKS and (marked or name.startswith("harness_")):
            near = difflib.get_close_matches(name, _HOOKS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            messages.append(f"unknown hook {name!r}{hint} Known: {', '.join(_HOOKS)}.")
    return messages


def _collect(host: Host, hook: str, kind: type[Any], into: dict[str, Any], noun: str) -> None:
    owners: dict[str, Plugin] = {}
    for plugin, result in host.lists(hook, kind.__name__):
        for value in result:
            if not isinstance(value, kind):
                plugin.errors.append(f"{hook} returned an item of {type(value).__name__}; expected {kind.__name__}")
                continue
            name = value.name
            if name in owners:
                clash = (
                    f"two plugins bring a {noun} named {name!r}: {owners[name].origin} and {plugin.origin}. Uninstall one, or "
                    f"rename it"
                )
                plugin.errors.append(clash)
                host.clashes.setdefault((noun, name), clash)
                continue
            owners[name] = plugin
            into[name] = value
            plugin.adds.append(f"{noun} {name}")
            if kind is Method:
                host.method_plugin[name] = plugin
