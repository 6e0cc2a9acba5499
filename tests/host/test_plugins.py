"""The host: one bad plugin costs itself, nothing else, and says what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from harness import ModelOptions, hookimpl
from harness.commands import load
from harness.commands.cli import main
from harness.errors import HarnessError
from harness.host import plugins
from harness.host.development import digest_of_file
from harness.reporting import published

METHOD = """
from harness import Method, Recipe, hookimpl

def build(options): raise NotImplementedError
def loss(batch, outputs, options): return {{}}

@hookimpl
def harness_methods():
    return [Method("{name}", "{name}", "", build, loss, Recipe("paper", 1), stride=4)]
"""


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def by_name(host: plugins.Host, name: str) -> plugins.Plugin:
    return next(plugin for plugin in host.plugins if plugin.name == name)


def test_the_methods_of_this_repository_come_through_entry_points() -> None:
    host = plugins.load_host()
    assert {"mcnn", "csrnet"} <= set(host.methods)
    assert host.method_plugin["mcnn"].distribution == "crowd-harness"
    assert {"shtech_a", "ucf_cc_50", "synth"} <= set(host.benchmarks)
    assert all(not plugin.errors for plugin in host.plugins)


def test_a_single_file_is_a_plugin(tmp_path: Path) -> None:
    host = plugins.load_host([file(tmp_path, "mine", METHOD.format(name="mine"))])
    assert host.method("mine").stride == 4
    assert by_name(host, "mine").adds == ["method mine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import not_there_at_all",
            "failed to import: ModuleNotFoundError: No module named 'not_there_at_all'",
        ),
        ("raise SystemExit(3)", "failed to import: SystemExit"),
        ("def oops(:", "failed to import: SyntaxError"),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_method(): return []",
            "unknown hook 'harness_method'; did you mean 'harness_methods'?",
        ),
        ("def harness_methods(): return []", "harness_methods is not marked with @harness.hookimpl"),
        (
            "from harness import hookimpl\n@hookimpl(wrapper=True)\ndef harness_methods(): return (yield)",
            "harness_methods: hookimpl has no wrapper here",
        ),
        (
            "from harness import hookimpl\n@hookimpl(specname='harness_methods')\ndef mine(): return []",
            "mine: hookimpl has no specname here",
        ),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_callbacks(trial): return []",
            "hookimpl definition",
        ),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_methods(): return None",
            "harness_methods returned NoneType; expected a list of Method",
        ),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_methods(): return ['mcnn']",
            "harness_methods returned an item of str; expected Method",
        ),
        (
            "from harness import hookimpl\n@hookimpl\ndef harness_methods(): return 1 / 0",
            "harness_methods raised ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_the_rest_go_on(tmp_path: Path, text: str, message: str) -> None:
    good = file(tmp_path, "good", METHOD.format(name="good"))
    host = plugins.load_host([file(tmp_path, "bad", text), good])
    assert any(message in error for error in by_name(host, "bad").errors), by_name(host, "bad").errors
    assert {"good", "mcnn", "csrnet"} <= set(host.methods)
    assert not by_name(host, "good").errors


@pytest.mark.parametrize(
    ("raised", "message"),
    [("DataError('/data/x: missing')", "DataError: /data/x: missing"), ("SystemExit(3)", "SystemExit: 3")],
)
def test_what_a_hook_raises_of_the_harness_own_costs_itself_too(tmp_path: Path, raised: str, message: str) -> None:
    text = f"from harness import DataError, hookimpl\n@hookimpl\ndef harness_benchmarks(): raise {raised}"
    host = plugins.load_host([file(tmp_path, "bad", text), file(tmp_path, "mine", METHOD.format(name="mine"))])
    assert by_name(host, "bad").errors == [f"harness_benchmarks raised {message} (bad.py:3)"]
    assert "mine" in host.methods


def test_an_error_is_told_with_the_line_of_the_plugin_that_it_came_from(tmp_path: Path) -> None:
    """Also where the harness, called with what cannot be, raises it."""
    text = METHOD.format(name="mine")
    typing = file(tmp_path, "typing_error", text.replace('Recipe("paper", 1)', 'Recipe("paper", epoch=1)'))
    kind = file(tmp_path, "kind", text.replace('Recipe("paper", 1)', 'Recipe("paper", 1, sigma=4.0)'))
    host = plugins.load_host([typing, kind])
    (said,) = by_name(host, "typing_error").errors
    assert "unexpected keyword argument 'epoch' (typing_error.py:9)" in said
    (said,) = by_name(host, "kind").errors
    assert said.endswith("sigma is 4.0; expected harness.Sigma(pixels=4.0) or another (kind.py:9)")


def test_a_hook_may_have_arguments_of_its_own(tmp_path: Path) -> None:
    text = METHOD.format(name="mine").replace("harness_methods():", "harness_methods(extra=None, **more):")
    assert "mine" in plugins.load_host([file(tmp_path, "mine", text)]).methods


@pytest.mark.parametrize("there", [True, False])
def test_a_plugin_file_that_was_asked_for_must_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    path = file(tmp_path, "mine", "import not_there_at_all") if there else tmp_path / "mine.py"
    monkeypatch.setattr(sys, "argv", ["harness", "data", "list", "--plugin", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = "No module named 'not_there_at_all'" if there else "no such plugin file"
    assert ended.value.code == 2 and f"--plugin {path}: " in (error := capsys.readouterr().err) and said in error


def test_of_two_plugin_files_of_one_name_each_must_be_had(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    there = file(tmp_path / "a", "mine", METHOD.format(name="mine"))
    for given in ([there, tmp_path / "nowhere" / "mine.py"], [tmp_path / "nowhere" / "mine.py", there]):
        with pytest.raises(HarnessError, match=r"nowhere/mine.py: .*no such plugin file"):
            load(given)


def test_a_linked_package_beside_a_plugin_is_part_of_its_version(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    part = file(tmp_path / "elsewhere", "__init__", "value = 1\n")
    package = tmp_path / "parts_of_linked"
    package.mkdir()
    file(package, "__init__", "")
    (package / "inner").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data").mkdir()
    image = file(tmp_path / "data", "looks_like_code", "")
    (package / "data").symlink_to(tmp_path / "data")
    (tmp_path / "elsewhere" / "back").symlink_to(package)  # a circle
    mine = file(tmp_path, "mine", "import parts_of_linked\n")
    before = digest_of_file(mine)
    part.write_text("value = 2\n")
    after = digest_of_file(mine)
    assert after != before
    image.write_text("value = 3\n")
    assert digest_of_file(mine) == after, "a linked folder of something else, which may be large, is not gone through"


def test_where_a_plugin_is_broken_no_guess_is_made(tmp_path: Path) -> None:
    """The unknown method is most likely the broken plugin's own."""
    host = plugins.load_host([file(tmp_path, "lite", "import nothing_of_this_name")])
    with pytest.raises(
        HarnessError, match=r"unknown method 'lite': plugin lite \(lite\.py \w+\) brought nothing, mend it"
    ) as found:
        host.method("lite")
    assert "nothing_of_this_name" in str(found.value) and "Did you mean" not in str(found.value)
    with pytest.raises(HarnessError, match="brought nothing"):
        host.benchmark("my_photos")


def test_a_broken_installed_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode() -> None:
        raise ImportError("libfoo.so is missing")

    line = explode.__code__.co_firstlineno + 1

    entry = SimpleNamespace(
        name="foreign", dist=SimpleNamespace(name="crowd-harness-foreign", version="9.9"), load=explode
    )
    real = plugins.metadata.entry_points(group=plugins.GROUP)
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [*real, entry])
    host = plugins.load_host()
    broken = by_name(host, "foreign")
    assert broken.origin == "crowd-harness-foreign 9.9"
    assert broken.errors == [f"failed to import: ImportError: libfoo.so is missing (test_plugins.py:{line})"]
    assert "mcnn" in host.methods


def test_two_methods_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    other = file(tmp_path, "other", METHOD.format(name="mcnn"))
    host = plugins.load_host([other])
    with pytest.raises(HarnessError, match=r"two plugins bring a method named 'mcnn': crowd-harness .* and other\.py "):
        host.method("mcnn")
    assert host.method("csrnet")


def test_two_metrics_of_one_name_are_no_fault_of_a_method_of_that_name(tmp_path: Path) -> None:
    """They say nothing against a method, or a dataset, that is called the same."""
    text = (
        "from harness import Metric, hookimpl\n"
        "@hookimpl\ndef harness_metrics(): return [Metric('mcnn', 'M', lambda true, predicted: 0.0)]\n"
    )
    host = plugins.load_host([file(tmp_path, "one", text), file(tmp_path, "two", text)])
    assert any("two plugins bring a metric named 'mcnn'" in error for error in by_name(host, "two").errors)
    assert host.method("mcnn").name == "mcnn"


def test_a_file_called_as_an_installed_plugin_is_no_less_refused(tmp_path: Path) -> None:
    """An edited copy of a built-in method, say: before, it was dropped, and the built-in one trained in its place."""
    host = plugins.load_host([file(tmp_path, "mcnn", METHOD.format(name="mcnn"))])
    with pytest.raises(HarnessError, match=r"two plugins bring a method named 'mcnn': crowd-harness .* and mcnn\.py "):
        host.method("mcnn")


def test_two_files_of_one_name_are_two_plugins(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    host = plugins.load_host([file(folder, "model", METHOD.format(name=f"mine_{folder.name}")) for folder in folders])
    assert {"mine_one", "mine_two"} <= set(host.methods)


def test_a_plugin_file_may_hold_a_dataclass_under_postponed_annotations(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
        "@dataclass(frozen=True)\nclass Settings:\n    width: int = 3\n\n\n"
    )
    host = plugins.load_host([file(tmp_path, "settings", text + METHOD.format(name="mine"))])
    assert not by_name(host, "settings").errors and "mine" in host.methods


def test_published_numbers_that_are_no_paths_are_named(tmp_path: Path) -> None:
    text = "from harness import hookimpl\n@hookimpl\ndef harness_published(): return [None]"
    host = plugins.load_host([file(tmp_path, "mine", text)])
    assert published.gather(host)
    assert by_name(host, "mine").errors == ["harness_published returned an item of NoneType; expected a path"]


def test_a_variant_where_weights_are_asked_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"'ssr_hef\[no_hef\]': expected 'ssr_hef'; a weights file says itself"):
        plugins.load_host().method("ssr_hef[no_hef]")


def test_published_numbers_that_are_no_list_are_named(tmp_path: Path) -> None:
    text = "from harness import hookimpl\n@hookimpl\ndef harness_published(): return None\n"
    host = plugins.load_host([file(tmp_path, "nothing", text)])
    assert published.gather(host)
    assert by_name(host, "nothing").errors == ["harness_published returned NoneType; expected a list of paths"]


@pytest.mark.parametrize("returned", [None, [7]])
def test_commands_that_are_none_are_named_and_help_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], returned: object
) -> None:
    import click

    from harness.commands import cli

    module = ModuleType("foreign")
    module.harness_commands = hookimpl(lambda: returned)  # type: ignore[attr-defined]
    entry = SimpleNamespace(
        name="foreign", dist=SimpleNamespace(name="crowd-harness-foreign", version="9.9"), load=lambda: module
    )
    real = plugins.metadata.entry_points(group=plugins.GROUP)
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [*real, entry])
    monkeypatch.setattr(plugins, "version_of", lambda entry: "9.9")
    cli._add_plugin_commands(click.Group("harness"))
    said = capsys.readouterr().err
    assert said.startswith("harness: plugin foreign (crowd-harness-foreign 9.9): harness_commands returned ")
    assert "click.Command" in said


def test_commands_of_one_name_are_told_apart_from_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first stays; the harness' own always do."""
    import click

    from harness.commands import cli

    def entry(name: str, *commands: str) -> SimpleNamespace:
        module = ModuleType(name)
        module.harness_commands = hookimpl(lambda: [click.Command(each) for each in commands])  # type: ignore[attr-defined]
        return SimpleNamespace(name=name, dist=SimpleNamespace(name=name, version="9.9"), load=lambda: module)

    real = plugins.metadata.entry_points(group=plugins.GROUP)
    foreign = [entry("pa", "shared", "bench"), entry("pb", "shared", "own")]
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: [*real, *foreign])
    monkeypatch.setattr(plugins, "version_of", lambda entry: "9.9")
    group = click.Group("harness")
    cli._add_plugin_commands(group)
    said = capsys.readouterr().err
    assert sorted(group.commands) == ["own", "shared"]
    assert "plugin pa (pa 9.9): command 'bench' is there already; it needs another name" in said
    assert "plugin pb (pb 9.9): command 'shared' is there already; it needs another name" in said


def test_unknown_names_get_the_nearest_known_one() -> None:
    host = plugins.load_host()
    with pytest.raises(HarnessError, match=r"unknown method 'mcn'\. Did you mean 'mcnn'\?"):
        host.method("mcn")
    with pytest.raises(HarnessError, match=r"unknown dataset 'ucf_cc50'\. Did you mean 'ucf_cc_50'\?"):
        host.benchmark("ucf_cc50")
    with pytest.raises(HarnessError, match=r"unknown method 'zzz'\. Known: .*csrnet.*mcnn"):
        host.method("zzz")


def test_a_missing_plugin_file_is_named(tmp_path: Path) -> None:
    host = plugins.load_host([tmp_path / "gone.py"])
    assert "no such plugin file" in by_name(host, "gone").errors[0]


def test_finding_plugins_imports_no_keras() -> None:
    import subprocess
    import sys

    code = "import sys; from harness.host.plugins import load_host; load_host(); print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_metric_of_a_plugin_is_collected(tmp_path: Path) -> None:
    text = (
        "from harness import Metric, hookimpl\n"
        "@hookimpl\n"
        "def harness_metrics(): return [Metric('bias', 'bias', lambda t, p: float((p - t).mean()))]"
    )
    host = plugins.load_host([file(tmp_path, "bias", text)])
    assert list(host.metrics) == ["f1_4", "f1_8", "bias"]  # the host brings those of localisation


def test_a_weights_reader_that_raises_is_named(tmp_path: Path) -> None:
    from harness.training.weights import load_network

    reader = file(
        tmp_path,
        "reader",
        "from harness import hookimpl\n@hookimpl\ndef harness_read_weights(method, path): raise KeyError('layer 3')",
    )
    host = plugins.load_host([reader])
    (tmp_path / "some.pth").write_bytes(b"x")
    with pytest.raises(HarnessError, match=r"some\.pth: plugin reader .*harness_read_weights raised KeyError"):
        load_network(host, host.method("mcnn"), tmp_path / "some.pth")


def test_a_weights_reader_that_names_a_layer_which_is_not_there_is_told(tmp_path: Path) -> None:
    from harness.training.weights import load_network

    text = "from harness import hookimpl\n@hookimpl\ndef harness_read_weights(method, path): return {'outptu': []}"
    host = plugins.load_host([file(tmp_path, "reader", text)])
    (tmp_path / "some.pth").write_bytes(b"x")
    with pytest.raises(HarnessError, match=r"some\.pth: .*'outptu', which ssr_hef does not have\.") as found:
        load_network(host, host.method("ssr_hef"), tmp_path / "some.pth")
    assert len(str(found.value)) < 300


def test_a_weights_reader_may_list_layers_that_have_none(tmp_path: Path) -> None:
    from harness.training.weights import load_network

    text = "from harness import hookimpl\n@hookimpl\ndef harness_read_weights(method, path): return given"
    host = plugins.load_host([file(tmp_path, "reader", text)])
    network = host.method("mcnn").build(ModelOptions())
    given = {layer.name: [array + 1 for array in layer.get_weights()] for layer in network.layers}
    assert any(not arrays for arrays in given.values())
    host.plugins[-1].module.harness_read_weights.__globals__["given"] = given
    (tmp_path / "some.pth").write_bytes(b"x")
    loaded = load_network(host, host.method("mcnn"), tmp_path / "some.pth")
    for layer in loaded.layers:
        for found, expected in zip(layer.get_weights(), given[layer.name], strict=True):
            np.testing.assert_array_equal(found, expected)
    (without,) = [name for name, arrays in given.items() if not arrays][:1]
    given[without] = [np.zeros(3)]
    with pytest.raises(HarnessError, match=rf"layer {without} of mcnn has shapes \[\]; the file gives \[\(3,\)\]"):
        load_network(host, host.method("mcnn"), tmp_path / "some.pth")


def test_a_plugin_file_finds_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is used, inside a hook, from another folder; what is installed goes before it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_the_plugin.py").write_text("NAME = 'found'\n", encoding="utf-8")
    (tmp_path / "json.py").write_text("raise ImportError('not this one')\n", encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        "from harness import Metric, hookimpl\n"
        "@hookimpl\n"
        "def harness_metrics():\n"
        "    import importlib, json, beside_the_plugin\n"
        "    importlib.reload(json)\n"
        "    return [Metric(beside_the_plugin.NAME, 'Found', lambda true, predicted: 0.0)]\n",
        encoding="utf-8",
    )
    assert "found" in plugins.load_host([tmp_path / "mine.py"]).metrics
    assert sys.path[-1] == str(tmp_path)


def metric_from(folder: Path, module: str, name: str) -> Path:
    """A plugin file whose metric is called as a module or package beside it says: `name`."""
    beside = folder / f"{module}.py" if folder.name != "package" else folder / module / "__init__.py"
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(f"NAME = {name!r}\n", encoding="utf-8")
    plugin = folder / f"from_{folder.name}.py"
    plugin.write_text(
        f"import {module}\nfrom harness import Metric, hookimpl\n@hookimpl\ndef harness_metrics():\n"
        f"    return [Metric({module}.NAME, 'Found', lambda true, predicted: 0.0)]\n",
        encoding="utf-8",
    )
    return plugin


@pytest.mark.parametrize("kind", ["module", "package"])
def test_what_lies_beside_a_plugin_file_is_what_it_imports(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version says so: not what has the name where a run was started, which is first on the path of a cell."""
    name = f"parts_as_{kind}"
    plugin = metric_from(tmp_path / kind, name, "beside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / f"{name}.py").write_text("NAME = 'elsewhere'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert list(plugins.load_host([plugin]).metrics)[-1] == "beside"


def test_two_plugin_files_with_modules_of_one_name_beside_them_are_not_mixed_up(tmp_path: Path) -> None:
    files = [metric_from(tmp_path / folder, "parts_of_two", f"of_{folder}") for folder in ("a", "b")]
    host = plugins.load_host(files)
    assert "of_a" in host.metrics and "of_b" not in host.metrics
    (error,) = host.plugins[-1].errors
    assert (
        f"{files[1]} imports parts_of_two from beside it" in error
        and f"is {tmp_path / 'a' / 'parts_of_two.py'}" in error
    )
