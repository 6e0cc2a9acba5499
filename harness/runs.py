"""What a run is: everything that determines its result, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark, Sample
from harness.budgets import Budget, budget_named, capped
from harness.digests import file_digest
from harness.errors import HarnessError, unknown_name
from harness.method import COMMON, Method, ModelOptions, Recipe
from harness.plugins import Host
from harness.regions import seen_inside

SELECTIONS = ("validation", "test-oracle")
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Request:
    """What the user asks of one cell: names and flags, nothing resolved. It travels to the cell's process as JSON."""

    method: str
    dataset: str
    variant: str = ""
    fold: int = 0
    seed: int = 0
    budget: str = "quick"
    recipe: str = "common"
    select: str = "validation"
    precision: str = "float32"
    pretrained: str = "default"


@dataclass(frozen=True)
class Run:
    """One resolved cell. `identity` is what its id is a hash of; the environment it runs in is not part of it."""

    request: Request
    method: Method
    benchmark: Benchmark
    recipe: Recipe
    budget: Budget
    options: ModelOptions
    identity: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits."""
        return identity_hash(self.identity)

    @property
    def name(self) -> str:
        """The run's folder: readable, and unique through its id."""
        request = self.request
        method = request.method + (f"[{request.variant}]" if request.variant else "")
        fold = f"-fold{request.fold}" if self.benchmark.folds else ""
        return (
            f"{self.benchmark.name}-{method}-{request.recipe}-{request.budget}-seed{request.seed}{fold}-{self.id[:8]}"
        )


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON of `identity`."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


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
    recipe = capped(COMMON if request.recipe == "common" else method.recipe, budget)
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
    maps = {name: label.fingerprint(benchmark, trained) for name, label in method.maps(options).items()}
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


def fingerprint(benchmark: Benchmark, samples: tuple[Sample, ...]) -> str:
    """A hash of every sample's name, image bytes and annotation bytes; for drawn scenes, of the protocol that draws them.

    Raises:
        DataError: a file is missing.
    """
    digest = hashlib.blake2b(digest_size=12)
    seen: dict[Path, bytes] = {}  # a scene's region, or the annotations of all frames, are one file for many samples
    digest.update(json.dumps([benchmark.name, dict(benchmark.protocol)], sort_keys=True).encode())
    for sample in samples:
        digest.update(sample.name.encode())
        for path in (sample.image, sample.annotation, *sample.extra):
            if path is None:
                continue
            if path not in seen:
                seen[path] = file_digest(path)
            digest.update(seen[path])
    return digest.hexdigest()


def request_json(request: Request) -> dict[str, Any]:
    return asdict(request)
