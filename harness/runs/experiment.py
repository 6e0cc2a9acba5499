"""An experiment as a person writes it down: what is run on what, how, and where. Each mistake in it is named by its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    WithJsonSchema,
)

from harness.budgets import BUDGETS
from harness.errors import HarnessError, printable
from harness.files.yaml_file import Place, Sheet, as_yaml, read
from harness.run import LARGEST_SEED, SELECTIONS
from harness.runs import own
from harness.runs.checked import Keys, one_of
from harness.runs.executors import EXECUTORS
from harness.runs.own_checked import OwnBudget, OwnRecipe
from harness.runs.plan import split_names
from harness.training.backend import PRECISIONS

FILE = "experiment.yaml"
EXAMPLE = Path(__file__).with_name("example.yaml")
NUMBERS = r"\d+(\s*,\s*\d+)*"
DECIDES = ("methods", "datasets", "seeds", "recipe", "budget", "select", "precision", "pretrained")


def _listed(value: Any) -> Any:
    return split_names(value) if isinstance(value, str) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(NUMBERS, value):
        return [int(part) for part in value.split(",")]
    return [value] if isinstance(value, int | str) else value


def _one_or_more(item: dict[str, Any], *others: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}, *others]})


def _named_or_own(kind: str, known: Iterable[str], model: type[Keys]) -> Any:
    name, one = Annotated[one_of(kind, known), Tag("name")], Annotated[model, Tag("own")]
    return Annotated[name | one, Discriminator(lambda value: "name" if isinstance(value, str) else "own")]


Words = Annotated[
    tuple[StrictStr, ...], Field(min_length=1), BeforeValidator(_listed), _one_or_more({"type": "string"})
]
Seeds = Annotated[
    tuple[Annotated[StrictInt, Field(ge=0, le=LARGEST_SEED)], ...],
    Field(min_length=1),
    BeforeValidator(_numbers),
    _one_or_more(
        {"type": "integer", "minimum": 0, "maximum": LARGEST_SEED}, {"type": "string", "pattern": f"^{NUMBERS}$"}
    ),
]
ARecipe: Any = _named_or_own("recipe", own.RECIPES, OwnRecipe)
ABudget: Any = _named_or_own("budget", BUDGETS, OwnBudget)
Selection: Any = one_of("selection", SELECTIONS)
Precision: Any = one_of("precision", PRECISIONS)
Executor: Any = one_of("executor", EXECUTORS)


class Experiment(Keys):
    """What `harness bench` does. The keys are its flags; paths are as on the command line: from the folder one is in."""

    methods: Words = Field(default=(), description='"all", or methods; a variant in brackets: "sasnet[no_pra]".')
    datasets: Words = Field(default=(), description='"all", or datasets, or folders of pictures.')
    seeds: Seeds = Field(default=(0,), description="A run of each method on each dataset for every one of them.")
    recipe: ARecipe = Field(default="common", description="common, paper, or fields that change one of them.")
    budget: ABudget = Field(default="quick", description="smoke, quick, standard, paper, or fields of one's own.")
    select: Selection = Field(default="validation", description="What chooses the checkpoint.")
    precision: Precision = "float32"
    pretrained: StrictStr = Field(default="default", description="imagenet, none, or a weights file.")
    executor: Executor = Field(default="local", description="Where cells run.")
    jobs: StrictInt = Field(default=1, ge=1, description="Cells at once; a GPU each.")
    data_parallel: StrictBool = Field(default=False, description="Share each run among all devices (JAX).")
    address: StrictStr = Field(default="", description="For ray: the address of a cluster.")
    slurm: dict[StrictStr, Any] = Field(default={}, description="For slurm: parameters of submitit.")
    timeout: Annotated[StrictFloat, Field(gt=0)] | None = Field(default=None, description="Minutes a cell may take.")
    resident: StrictBool = Field(default=False, description="Keep the training images on the device, where they fit.")
    memory: StrictFloat = Field(
        default=2.0, ge=0, description="GiB of decoded images held in memory, or on the device."
    )
    track: StrictStr = Field(default="", description="tensorboard or mlflow.")
    plugins: Words = Field(default=(), description="Files of plugins to load.")
    data_root: StrictStr | None = Field(default=None, description="Folder that holds the datasets.")
    out: StrictStr = Field(default="runs", description="Folder of the runs.")

    def choices(self) -> dict[str, Any]:
        """The fields of a `harness.run.Request` that are the same for every cell."""
        said: dict[str, Any] = {key: getattr(self, key) for key in ("select", "precision", "pretrained", "resident")}
        for kind, value, plain in (("recipe", self.recipe, "common"), ("budget", self.budget, own.EVERYTHING)):
            if isinstance(value, str):
                said[kind] = value
            elif not value.name and not own.changes_of(value.asked):  # {from: standard} is standard
                said[kind] = value.asked.get("from", plain)
            else:
                asked = value.asked or {"from": plain}  # a name alone
                said |= {kind: value.name or own.name_of(asked), f"own_{kind}": asked}
        return said


@dataclass(frozen=True)
class Asked:
    """An experiment, and where its file says what; `sheet` is None where there is no file."""

    experiment: Experiment
    sheet: Sheet | None = None
    flags: frozenset[str] = frozenset()

    def changed(self, flags: dict[str, Any]) -> Asked:
        """With the values of flags in the place of the file's."""
        return Asked(self.experiment.model_copy(update=flags), self.sheet, self.flags | flags.keys())

    @contextmanager
    def at(self, *place: str | int) -> Iterator[None]:
        """What turns out to be wrong within is wrong at `place` of the file, if that is what was asked."""
        try:
            yield
        except HarnessError as error:
            if self.sheet is None or place[0] in self.flags or not self.sheet.nearest(place):
                raise
            raise type(error)(f"{self.sheet.where(place)}: {error}") from None


def load(path: Path) -> Asked:
    """The experiment in the file `path`.

    Raises:
        HarnessError: it cannot be read, a key is unknown, or a value is not what it must be; its line is named.
    """
    sheet = read(path)
    try:
        return Asked(Experiment.model_validate(sheet.values), sheet)
    except ValidationError as error:
        raise HarnessError(_explained(error, sheet)) from None


def text_of(experiment: Experiment) -> str:
    """YAML that says `experiment`: all that decides its results, and of the rest what is not as always."""
    said = experiment.model_dump(mode="json", by_alias=True, exclude_unset=True)
    always = Experiment().model_dump(mode="json", by_alias=True)
    values = {key: said.get(key, value) for key, value in always.items()}
    kept = {key: value for key, value in values.items() if key in DECIDES or value != always[key]}
    return as_yaml(kept)


def schema() -> dict[str, Any]:
    """The JSON schema of such files, for editors."""
    made = _without_nothings(Experiment.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _without_nothings(value: Any) -> Any:
    """Without the nulls that stand for fields left out, which would read as their defaults."""
    if isinstance(value, list):
        return [_without_nothings(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_nothings(one) for key, one in value.items() if (key, one) != ("default", None)}


_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a word",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "none_required": "null",
    "too_short": "at least one",
    "missing": "one more in the list",
    "too_long": "fewer in the list",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
}


def _explained(error: ValidationError, sheet: Sheet) -> str:
    """The first unknown key, or else the mistake that lies deepest, in one line."""
    found: list[tuple[Place, Any]] = [(sheet.nearest(one["loc"]), one) for one in error.errors()]
    for place, one in found:
        if one["type"] == "unknown_key":
            inside = f"{_dotted(place)}: " if place else ""
            return f"{sheet.where((*place, one['ctx']['key']))}: {inside}{one['msg']}"
    place = max((place for place, _ in found), key=len)
    same = [one for other, one in found if other == place]
    told = next((one["ctx"]["error"] for one in same if one["type"] == "value_error"), None)
    if told:
        return f"{sheet.where(place)}: {_dotted(place)}: {told}"
    value: Any = sheet.values
    for part in place:
        value = value[part]
    expected = dict.fromkeys(_EXPECTED.get(one["type"], one["msg"]).format(**one.get("ctx", {})) for one in same)
    return f"{sheet.where(place)}: {_dotted(place)} is {printable(repr(value), 60)}; expected {' or '.join(expected)}"


def _dotted(place: Place) -> str:
    """("stages", 0, "share") → "stages[0].share"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
