"""From what a user asks to a run: names looked up, the recipe capped by its budget, everything that its id is a hash of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness import __version__
from harness.benchmark import Sample
from harness.budgets import budget_named, capped
from harness.data.crops import shares
from harness.data.few_sizes import MOST
from harness.data.fingerprints import label_fingerprint
from harness.data.regions import seen_inside
from harness.errors import HarnessError, unknown_name
from harness.host.plugins import OWN, Host
from harness.method import Method, ModelOptions
from harness.recipe import Recipe, common_recipe
from harness.run import SCHEMA_VERSION, SELECTIONS, Request, Run
from harness.runs import own


def resolve(host: Host, request: Request, fingerprint: str, samples: tuple[Sample, ...] = ()) -> Run:
    """The run that `request` asks for on `samples`, data of `fingerprint`.

    Raises:
        HarnessError: unknown names, a recipe or budget of one's own that contradicts itself, or a file that the method needs
            beside the images is not there.
    """
    method = host.method(request.method)
    benchmark = seen_inside(host.benchmark(request.dataset), method.outside)
    if request.variant and request.variant not in method.variants:
        raise unknown_name(f"variant of {method.name}", request.variant, method.variants)
    budget = own.budget(request.budget, request.own_budget) if request.own_budget else budget_named(request.budget)
    if request.select not in SELECTIONS:
        raise unknown_name("selection", request.select, SELECTIONS)
    pretrained, pretrained_identity = _pretrained(method, request)
    recipe = capped(recipe_of(method, benchmark.name, request.recipe, request.own_recipe, pretrained), budget)
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
    if plugin.distribution != OWN:  # its version says nothing of the harness that trains it
        identity["harness"] = ".".join(__version__.split(".")[:2])
    if recipe.crop is None:  # crops by share were of any size before, then all shares had these sizes together
        identity["crop_sizes"] = MOST * len(set(shares(recipe)))
    asked = {"recipe": request.own_recipe, "budget": request.own_budget}
    if any(asked.values()):
        identity["asked"] = {key: value for key, value in asked.items() if value}
    trained = tuple(sample for sample in samples if sample.split != "test")
    maps = {name: label_fingerprint(label, benchmark, trained) for name, label in method.maps(options).items()}
    if maps:
        identity["label_maps"] = maps
    # Through JSON once: a tuple and the list it is read back as must give one id.
    return Run(request, method, benchmark, recipe, budget, options, json.loads(json.dumps(identity)))


def recipe_of(method: Method, benchmark: str, name: str, asked: own.Asked, pretrained: str = "none") -> Recipe:
    """The recipe `name` of `method` on the benchmark, before its budget; what is `asked` where it is the user's own.

    Args:
        pretrained: what the network begins from, by which `common` has its rate.

    Raises:
        HarnessError: an unknown name, or what is asked does not go with the method's.
    """
    built_in = own.base_of(asked) if asked else name
    if built_in not in own.RECIPES:
        raise unknown_name("recipe", built_in, own.RECIPES)
    base = common_recipe(pretrained) if built_in == "common" else method.recipe_for(benchmark)
    what = "common" if built_in == "common" else f"paper of {method.name}"
    return own.recipe(base, name, asked, what) if asked else base


def _pretrained(method: Method, request: Request) -> tuple[str, str]:
    """(what to load, what the identity says). "default" is ImageNet, or nothing on the smoke budget."""
    choice = request.pretrained
    if choice not in ("default", "none", "imagenet") and not Path(choice).is_file():
        part = f"a {method.pretrained} weights file" if method.pretrained else "a weights file"
        raise HarnessError(f"--pretrained {choice}: no such file; expected none, imagenet, or {part}")
    if method.pretrained is None:
        return "none", "none"
    if choice == "default":
        smoke = "smoke" in (request.budget, request.own_budget.get("from"))
        choice = "none" if smoke else "imagenet"
    if choice in ("none", "imagenet"):
        return choice, choice
    path = Path(choice)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return str(path.resolve()), f"file {path.name} {digest}"
