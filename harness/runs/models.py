"""Models that ship with the package: weights of own training, each with a card that says what it is.

`NAME.weights.h5` and `NAME.yaml` lie in `FOLDER`. Both are made from a finished run by `docs/make_models.py`; nothing in a card
is typed by hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import HarnessError, first_complaint, unknown_name
from harness.files import yaml_file

FOLDER = Path(__file__).parents[1] / "models"
AUTO = "auto"
Kind = Literal["sparse", "dense"]
KINDS = get_args(Kind)
NONE_SHIPS = "no model ships with this version; give --method and --weights"
RULE = (
    "auto: {dense} counts first; where it finds fewer than {boundary:.0f} heads a megapixel, the count of {sparse} is taken "
    "(the geometric mean of what is usual in the pictures that the two were tested on)"
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Tested(_Strict):
    """Errors of the counts on the test images, in heads, with their 95 % bootstrap intervals over images."""

    images: int
    mae: float
    mae_interval: tuple[float, float]
    rmse: float
    rmse_interval: tuple[float, float]


class Card(_Strict):
    """A model card.

    Attributes:
        name: of its files; not in the card itself.
        kind: what its training pictures are, "sparse" or "dense".
        method: as users write it, with its variant.
        crops: that it was trained on, repeats included.
        harness, plugin: the versions that trained it.
        run: id of the run, a hash of all that determined it.
        heads_per_megapixel: the median over its test images.
        stored: of its kernels, "float16" or "float32"; `changed` is by what share that changed a count at most.
    """

    name: str
    kind: Kind
    method: str
    method_title: str
    dataset: str
    dataset_title: str
    fold: int
    recipe: str
    budget: str
    seed: int
    select: str
    precision: str
    pretrained: str
    train_images: int
    crops: int
    harness: str
    plugin: str
    run: str
    test: Tested
    heads_per_megapixel: float
    parameters: int
    stored: str
    changed: float
    limits: list[str]
    licence: str

    @property
    def weights(self) -> Path:
        """Its weights file."""
        return weights_path(self.name)

    def as_yaml(self) -> str:
        """The text of its file."""
        content = self.model_dump(mode="json", exclude={"name"})
        return yaml_file.as_yaml(content, width=120, flow=False)


def weights_path(name: str) -> Path:
    """Where the weights of the model called `name` lie."""
    return FOLDER / f"{name}.weights.h5"


def card_path(name: str) -> Path:
    """Where the card of the model called `name` lies."""
    return FOLDER / f"{name}.yaml"


def cards() -> list[Card]:
    """The card of every model that ships, by name; raises `HarnessError` for a card that is none."""
    return [_card(path) for path in sorted(FOLDER.glob("*.yaml"))]


def _card(path: Path) -> Card:
    try:
        return Card.model_validate({**yaml_file.read(path).values, "name": path.stem})
    except ValidationError as error:
        raise HarnessError(f"{path}: not a model card: {first_complaint(error)}") from None


def card_named(text: str, others: Iterable[str] = ()) -> Card:
    """The model of a name or of a kind; raises `HarnessError` where none ships, or none that is called so.

    Args:
        others: what else might have been meant, for the message.
    """
    found = _some()
    known = {**_by_kind(found), **{card.name: card for card in found}}
    if text not in known:
        raise unknown_name("model", text, [*others, *known])
    return known[text]


def automatic() -> tuple[Card, Card | None]:
    """The models that `auto` counts with, (dense, sparse); of one kind alone that one, and None."""
    by_kind = _by_kind(_some())
    if len(by_kind) == 1:
        return next(iter(by_kind.values())), None
    return by_kind["dense"], by_kind["sparse"]


def _some() -> list[Card]:
    found = cards()
    if not found:
        raise HarnessError(NONE_SHIPS)
    return found


def _by_kind(found: list[Card]) -> dict[str, Card]:
    """The first card of each kind."""
    return {card.kind: card for card in reversed(found)}


def boundary(dense: Card, sparse: Card) -> float:
    """Heads a megapixel below which a picture is the sparse model's: the geometric mean of the two cards' own."""
    return math.sqrt(dense.heads_per_megapixel * sparse.heads_per_megapixel)


def rule() -> str:
    """What `auto` does with the models that ship, in a sentence."""
    dense, sparse = automatic()
    if sparse is None:
        return f"auto: {dense.name}"
    return RULE.format(dense=dense.name, sparse=sparse.name, boundary=boundary(dense, sparse))


def as_rows(found: list[Card]) -> list[dict[str, Any]]:
    """What a table of models shows of each."""
    return [
        {
            "name": card.name,
            "kind": card.kind,
            "method": card.method,
            "trained on": card.dataset,
            "MAE": f"{card.test.mae:.1f}",
            "RMSE": f"{card.test.rmse:.1f}",
            "heads/Mpx": f"{card.heads_per_megapixel:.0f}",
            "parameters": f"{card.parameters:,}",
        }
        for card in found
    ]
