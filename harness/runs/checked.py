"""What a person writes, checked by pydantic: the fields of dataclasses with strict types and bounds, and names of a set."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from harness.errors import printable, unknown_name

STRICT: dict[Any, Any] = {bool: StrictBool, str: StrictStr, int: StrictInt, float: StrictFloat}


class Keys(BaseModel):
    """Keys and values, of which an unknown key is refused with the nearest right one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in values if isinstance(values, Mapping) else ():
            if key not in known:
                said = str(unknown_name("key", printable(str(key)), known))
                raise PydanticCustomError("unknown_key", "{said}", {"said": said, "key": key})
        return values


def model_of(kind: type, called: str, /, leave_out: tuple[str, ...] = (), **further: Any) -> type[Keys]:
    """A model of the fields of the dataclass `kind`, any of which may be left out: `model_fields_set` are those that are there.

    Args:
        leave_out: fields that it does not have.
        further: more fields, (type, field) as pydantic takes them.
    """
    hints, said = get_type_hints(kind, include_extras=True), documented(kind)
    made: dict[str, Any] = {
        field.name: (strict(hints[field.name]), Field(default=None, description=said.get(field.name)))
        for field in fields(kind)
        if field.name not in leave_out
    }
    return create_model(called, __base__=Keys, __doc__=(kind.__doc__ or "").split("\n\n")[0], **{**made, **further})


def strict(hint: Any) -> Any:
    """`hint` for pydantic: no word for a number, no true for 1."""
    if hint in STRICT:
        return STRICT[hint]
    if is_dataclass(hint):
        return model_of(hint, f"{hint.__name__}Fields")  # type: ignore[arg-type,union-attr]
    origin = get_origin(hint)
    if origin is Annotated:
        kind, *bounds = get_args(hint)
        return Annotated[(strict(kind), *bounds)]
    if origin is Literal:
        return hint
    parts = tuple(part if part in (NoneType, Ellipsis) else strict(part) for part in get_args(hint))
    if origin in (Union, UnionType):
        return Union[parts]  # noqa: UP007
    if origin is tuple:
        return tuple[parts]  # type: ignore[valid-type]
    if origin is Mapping:
        return dict[StrictStr, parts[1]]  # type: ignore[valid-type]
    return hint


def one_of(kind: str, known: Iterable[str]) -> Any:
    """A name that is one of `known`; another is refused with the nearest of them."""
    known = sorted(known)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(str(unknown_name(kind, printable(name), known)))
        return name

    return Annotated[StrictStr, AfterValidator(check), Field(json_schema_extra={"enum": [*known]})]


def documented(kind: type) -> dict[str, str]:
    """What the "Attributes:" of a docstring say of each field."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    found = {}
    for names, said in re.findall(r"^    (\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)", text, re.MULTILINE):
        for name in names.split(", "):
            found[name] = " ".join(said.split())
    return found
