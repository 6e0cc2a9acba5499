"""`harness plugins`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from harness.commands import load
from harness.commands.cli import plugin_option


@click.group("plugins")
def command() -> None:
    """What plugins there are and what they add."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
@plugin_option
def list_command(as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """Each plugin, its distribution and version, what it adds, and what is wrong with it.

    Exits 1 when a plugin has errors.
    """
    from harness.host.plugins import load_host
    from harness.reporting import published

    host = load_host(plugin_files)
    published.gather(host)  # says on a plugin what of its files cannot be used
    plugins = host.plugins
    if as_json:
        keys = ("name", "distribution", "version", "adds", "errors")
        click.echo(json.dumps([{key: getattr(plugin, key) for key in keys} for plugin in plugins]))
    else:
        for plugin in plugins:
            click.echo(
                f"{plugin.name:<14} {plugin.origin:<24} {', '.join(plugin.adds or plugin.hooks) or 'adds nothing'}"
            )
            for error in plugin.errors:
                click.echo(f"{'':<14} error: {error}")
    if any(plugin.errors for plugin in plugins):
        click.get_current_context().exit(1)


@command.command("show")
@click.argument("method_name", metavar="METHOD")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@plugin_option
def show_command(method_name: str, as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """What METHOD is: citation, inputs, sizes, the paper's recipe, variants and published numbers. Builds its network."""
    host = load(plugin_files)
    from harness.runs.plan import parse_method

    name, variant = parse_method(host, method_name)
    shown = _describe(host, host.method(name), variant)
    if as_json:
        click.echo(json.dumps(shown, allow_nan=False))
        return
    click.echo(f"{shown['title']} ({shown['method']}), by {shown['plugin']}")
    click.echo(shown["citation"])
    click.echo(
        f"\ninput        {shown['input']}, sides multiples of {shown['multiple_of']} (others are continued)\n"
        f"output       {' and '.join(shown['outputs'])} at stride {shown['stride']}\n"
        f"parameters   {shown['parameters']:,} in training, {shown['inference_parameters']:,} in test, "
        f"{shown['inference_megabytes']:.1f} MB as float32\n"
        f"pretrained   {shown['pretrained'] or 'nothing'}"
    )
    click.echo("\nrecipe paper")
    for key, value in shown["recipe"].items():
        if key != "stages":
            click.echo(f"  {key:<17} {value}")
    for number, stage in enumerate(shown["recipe"]["stages"], 1):
        told = ", ".join(f"{key} {value}" for key, value in stage.items() if value not in ([], {}, None))
        click.echo(f"  stage {number:<11} {told}")
    for benchmark, changes in shown["recipes"].items():
        told = ", ".join(f"{key} {value}" for key, value in changes.items())
        click.echo(f"  on {benchmark:<14} {told}")
    click.echo("\nvariants" if shown["variants"] else "\nvariants: none")
    for key, variant_shown in shown["variants"].items():
        click.echo(f"  {name}[{key}]".ljust(32) + variant_shown["description"])
    click.echo("\npublished" if shown["published"] else "\npublished: nothing")
    for value in shown["published"]:
        place = f"{value['dataset']} {value['scene']}{value['category']}".strip()
        click.echo(
            f"  {place:<24} {value['metric'].upper():<9} {value['value']:<8g} {value['method']}: {value['table']}"
        )


@command.command("check")
@click.argument("method_name", metavar="METHOD")
@click.option("--backends", default="", help="Where it must do a step: tensorflow,jax,torch. Default: those installed.")
@plugin_option
def check_command(method_name: str, backends: str, plugin_files: tuple[Path, ...]) -> None:
    """Try whether METHOD does all that the harness needs of one: sizes, gradients, saving, variants, backends. Exits 1 if not.

    NAME[VARIANT] tries a variant; of NAME each variant is built, and its loss tried.
    """
    from harness.runs.plan import parse_method

    chosen = _backends(backends)
    host = load(plugin_files)
    parse_method(host, method_name)  # an unknown name is refused before anything heavy starts
    from harness.testing import verdicts

    failed = 0
    for verdict in verdicts(method_name, plugin_files, chosen):
        failed += not verdict.ok
        click.echo(f"{'ok  ' if verdict.ok else 'FAIL'}  {verdict.check:<22} {verdict.message}")
    click.echo(
        f"{method_name}: " + (f"{failed} check{'' if failed == 1 else 's'} failed" if failed else "all checks passed")
    )
    if failed:
        click.get_current_context().exit(1)


def _backends(text: str) -> list[str] | None:
    """ "jax,torch" → names, in that order; None for "", which leaves the choice open."""
    from harness.errors import unknown_name
    from harness.training.backend import BACKENDS

    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in BACKENDS:
            raise unknown_name("backend", name, BACKENDS)
    return names or None


@command.command("new")
@click.argument("name")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="A folder to make.")
def new_command(name: str, out: Path) -> None:
    """Write a complete plugin package for a method called NAME, with its tests, to start from."""
    from harness.errors import HarnessError
    from harness.host.plugins import load_host
    from harness.host.scaffold import write

    owner = load_host().method_plugin.get(name)
    if owner is not None:
        raise HarnessError(f"{name!r}: {owner.origin} brings a method of this name; expected another")
    files = write(name, out)
    for path in files:
        click.echo(path)
    click.echo(f"next: pip install -e {shlex.quote(f'{out}[test]')} && pytest {shlex.quote(str(out))}")
    click.echo(f"      harness bench --methods {name} --datasets synth --budget smoke")


def _describe(host: Any, method: Any, variant: str) -> dict[str, Any]:
    from dataclasses import asdict

    from harness.method import ModelOptions, inference_network, named_outputs
    from harness.reporting import published
    from harness.run import in_brackets
    from harness.training import backend, chosen

    chosen.use_for(method)
    backend.start()
    from harness.runs.outcome import model_size
    from harness.training import soundness

    recipe = _recipe(method.recipe)
    options = ModelOptions(variant=dict(method.variants[variant].options) if variant else {})
    network = soundness.built(method, options)
    from harness.run import out_of_brackets

    values = [value for value in published.gather(host) if out_of_brackets(value.method)[0] == method.name]
    return {
        "method": in_brackets(method.name, variant),
        "title": method.title,
        "plugin": host.method_plugin[method.name].origin,
        "citation": method.citation,
        "input": "grey 0-255" if method.channels == 1 else "RGB 0-255",
        "multiple_of": method.side_multiple,
        "pretrained": method.pretrained,
        **model_size(method, network),
        "outputs": sorted(named_outputs(inference_network(network).output)),
        "recipe": recipe,
        "recipes": {name: _changes(recipe, _recipe(other)) for name, other in sorted(method.recipes.items())},
        "variants": {key: asdict(each) for key, each in method.variants.items()},
        "published": [asdict(value) for value in values],
    }


def _recipe(recipe: Any) -> dict[str, Any]:
    """Its fields as JSON has them."""
    return json.loads(json.dumps(recipe.as_json()))


def _changes(usual: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The fields of `other` that are not those of `usual`; of the stages, where there are as many, those of each."""
    changed = _differing(usual, other)
    if "stages" in changed and len(other["stages"]) == len(usual["stages"]):
        pairs = zip(usual["stages"], changed.pop("stages"), strict=True)
        for number, pair in enumerate(pairs, 1):
            changed |= {f"stage {number}: {key}": value for key, value in _differing(*pair).items()}
    return changed


def _differing(usual: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    from harness.recipe import LEFT_OUT

    unused = {key: value for key, value in LEFT_OUT.items() if key in usual or key in other}
    return {key: value for key, value in {**unused, **other}.items() if {**unused, **usual}.get(key) != value}
