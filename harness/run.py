"""What a run is: the values `Request` and `Run`, everything that determines a result, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.benchmark import Benchmark
from harness.budgets import Budget
from harness.method import Method, ModelOptions
from harness.recipe import Recipe

ORACLE = "test-oracle"  # the checkpoint is chosen on the test images, as many papers did: marked wherever it is shown
SELECTIONS = ("validation", ORACLE)
SCHEMA_VERSION = 1
LARGEST_SEED = 2**32 - 1  # that NumPy and Keras take
LONGEST_NAME = 200  # bytes of a run's folder; file systems have at most 255


@dataclass(frozen=True)
class Request:
    """What the user asks of one cell: names and flags, nothing resolved. It travels to the cell's process as JSON.

    Attributes:
        resident: whether training images are to lie on the device; it changes no result and is no part of the identity.
        own_recipe, own_budget: where `recipe` or `budget` is the name of one of the user's own, what is asked of it, as
            `harness.runs.own` describes; else empty.
    """

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
    resident: bool = False
    own_recipe: Mapping[str, Any] = field(default_factory=dict)
    own_budget: Mapping[str, Any] = field(default_factory=dict)


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
        method = in_brackets(request.method, request.variant)
        fold = f"-fold{request.fold}" if self.benchmark.folds else ""
        rest = f"-{method}-{request.recipe}-{request.budget}-seed{request.seed}{fold}-{self.id[:8]}"
        # A folder of one's own may have a long name; the id tells two of one beginning apart.
        room = max(8, LONGEST_NAME - len(rest.encode()))
        return self.benchmark.name.encode()[:room].decode(errors="ignore") + rest


def in_brackets(method: str, variant: str) -> str:
    """A method and its variant as people write them: "ssr_hef[no_hef]", or "ssr_hef" where there is no variant."""
    return f"{method}[{variant}]" if variant else method


def out_of_brackets(text: str) -> tuple[str, str]:
    """Method and variant of what `in_brackets` made; the variant is "" where there is none."""
    method, _, variant = text.partition("[")
    return method, variant.removesuffix("]")


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON of `identity`."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
