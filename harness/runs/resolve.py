"""From what a user asks to a run: names looked up, the recipe capped by its budget, everything that its id is a hash of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.benchmark import Sample
from harness.budgets import budget_named, capped
from harness.data.fingerprints import label_fingerprint
from harness.data.regions import seen_inside
from harness.errors import HarnessError, unknown_name
from harness.host.plugins import Host
from harness.method import COMMON, Method, ModelOptions
from harness.run import SCHEMA_VERSION, SELECTIONS, Request, Run


def resolve(host: Host, request: Request, fingerprint: str, samples: tuple[Sample, ...] = ()) -> Run:
    """The run that `request` asks for on `samples`, data of `fingerprint`.

    Raises:
        HarnessError: unknown names, or a file that the method needs beside the images is not there.
    """
    method = host.method(request.method)
    benchmark = seen_inside(host.benchmark(request.dataset), method.outside)
    if request.variant and request.variant not in method.variants:
        raise unknown_name(f"variant of {method.name}", request.variant, method.variants)
    budget = budget_named(request.budget)
    if request.recipe not in ("common", "paper"):
        raise unknown_name("recipe", request.recipe, ("common", "paper"))
    if request.select not in SELECTIONS:
        raise unknown_name("selection", request.select, SELECTIONS)
    recipe = capped(COMMON if request.recipe == "common" else method.recipe_for(benchmark.name), budget)
    pretrained, pretrained_identity = _pretrained(method, request)
    variant = dict(method.variants[request.variant].options) if request.variant else {}
    options = ModelOptions(variant=variant, pretrained=pretrained, density_scale=recipe.density_scale)
    plugin = host.method_plugin[method.name]
    identity = {
        "schema": SCHEMA_VERSION,
        "method": method.name,
        "variant": request.variant,
        "options": variant,
        "plugin": [plugin.distribution, plugin.version],
        "dataset": benchmark.name,
        "data": fingerprint,
        "protocol": dict(benchmark.protocol),
        "fold": request.fold,
        "seed": request.seed,
        "recipe": recipe.as_json(),
        "budget": budget.as_json(),
        "select": request.select,
        "precision": request.precision,
        "pretrained": pretrained_identity,
    }
    trained = tuple(sample for sample in samples if sample.split != "test")
    maps = {name: label_fingerprint(label, benchmark, trained) for name, label in method.maps(options).items()}
    if maps:
        identity["label_maps"] = maps
    # Through JSON once: a tuple and the list it is read back as must give one id.
    return Run(request, method, benchmark, recipe, budget, options, json.loads(json.dumps(identity)))


def _pretrained(method: Method, request: Request) -> tuple[str, str]:
    """(what to load, what the identity says). "default" is ImageNet, or nothing on the smoke budget."""
    choice = request.pretrained
    if method.pretrained is None:
        return "none", "none"
    if choice == "default":
        choice = "none" if request.budget == "smoke" else "imagenet"
    if choice in ("none", "imagenet"):
        return choice, choice
    path = Path(choice)
    if not path.is_file():
        raise HarnessError(
            f"--pretrained {choice}: no such file; expected none, imagenet, or a {method.pretrained} weights file"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return str(path.resolve()), f"file {path.name} {digest}"
