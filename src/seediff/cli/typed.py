"""`Typed`: what was typed of a configuration's fields, as one parameter of a command (line.py says why)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Generic, TypedDict, TypeVar, cast, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from ..config.methods import methods_with
from ..config.runs import GenerateConfig
from ..config.settings import defaults, tables_of
from ..dataset.formats.format_table import formats_with
from .commands import show_default

Kind = TypeVar("Kind")
FLAT = Parameter(name="*")
"""The parameter of a table whose fields are options without the table's name."""


class Typed(dict[str, Any], Generic[Kind]):
    """`Typed[GenerateConfig]` is the type of a command's parameter that gets the typed fields of a configuration. The
    parser sees a dictionary all of whose keys may be missing, whose tables are dictionaries, too:

        TypedDict("GenerateConfig", {"classes": tuple[str, ...], "mask": TypedDict("Mask", {"beta": …}), …})

    From `--classes dog --beta 0.4`, it makes {"classes": ("dog",), "mask": {"beta": 0.4}}, and the command gets flat
    names: {"classes": ("dog",), "mask.beta": 0.4}. `Typed[Annotated[GenerateConfig, "model seed"]]` has these two
    fields alone."""

    described = False
    """Whether fields have their texts and defaults, which take long to find. Set before a command's module is imported,
    for its help alone."""

    def __class_getitem__(cls, kind: Any) -> Any:
        names = ""
        if get_origin(kind) is Annotated:
            kind, names = get_args(kind)
        return Annotated[_typed_fields(kind, kind, "", cls.described, tuple(names.split())), FLAT]


NOTHING: Any = MappingProxyType({})
"""The default of a parameter `typed`: nothing was typed."""
ANY_CLASS = ("any",)
"""The value of `classes` where a configuration needs some, and only its other values count."""


@lru_cache
def _typed_fields(kind: type, whole: type, prefix: str, described: bool, names: Collection[str] = ()) -> type:
    """A TypedDict with the fields of a dataclass, none of them required. kind: the dataclass. whole: the configuration
    that it is a part of, or that it is itself. prefix: what its fields' flat names begin with. names: the fields; ():
    all."""
    hints = get_type_hints(kind, include_extras=True)
    parts = tables_of(kind)
    options: dict[str, Any] = {}
    texts: Mapping[str, str] = {}
    shown: Mapping[str, Any] = {}
    if described:
        texts = _texts_beneath_fields(kind)
        shown = usual_values(whole)
    for field in fields(kind):
        if names and field.name not in names:
            continue
        hint = hints[field.name]
        flat_name = f"{prefix}{field.name}"
        if field.name in parts:
            part = _typed_fields(parts[field.name], whole, f"{flat_name}.", described)
            options[field.name] = Annotated[part, FLAT]
            continue
        text = texts.get(field.name)
        methods = formats_with(kind, field.name) or methods_with(flat_name)
        if text and methods:
            text = f"{', '.join(methods)}: {text[0].lower()}{text[1:]}"
        about = Parameter(help=text, show_default=show_default(shown.get(flat_name)) or False)
        plain, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        options[field.name] = Annotated[(plain, about, *more)]  # what comes later counts more
    made = cast(Any, TypedDict)(kind.__name__, options, total=False)
    if hasattr(kind, "__cyclopts__"):  # the class's own Parameter, such as its group
        made.__cyclopts__ = kind.__cyclopts__
    return made


@lru_cache
def usual_values(kind: type) -> Mapping[str, Any]:
    """Flat name → the value of a field without any option, for a configuration's class: what the default model's preset
    says, if the command has a default model, or else the class's default, or MISSING."""
    if issubclass(kind, GenerateConfig):
        return kind.recommended(classes=ANY_CLASS).values() | {"classes": MISSING}
    return defaults(kind)


def _texts_beneath_fields(kind: type) -> dict[str, str]:
    from docstring_parser import parse_from_object  # takes long, and reads the module's source

    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        texts |= {text.arg_name: " ".join((text.description or "").split()) for text in parse_from_object(base).params}
    return texts
