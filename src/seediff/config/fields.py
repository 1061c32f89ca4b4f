"""The types of configurations' fields, with bounds: checks values against them, and reads words of the command line as
values.

A dataclass declares the type of each field once, for Python, TOML files and the command line (decision 0021). The
dataclasses' modules do without `from __future__ import annotations`: cyclopts, the parser of the command line, looks up
the annotations of inherited fields in the module of the class that inherits them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from itertools import chain
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from cyclopts import Group, Parameter, Token
from cyclopts.validators import Number
from msgspec import Meta

from ..errors import UserError
from ..files.messages import show_json
from ..files.reading import fit

INPUT = Group("Input", sort_key=1)
MODEL = Group("Model", sort_key=2)
MASKS = Group("Masks", sort_key=3)
KEPT = Group("Extra output", sort_key=4)
RUN = Group("Run", sort_key=5)
RESEARCH = Group("Research", sort_key=6)


def read_word(kind: Any, tokens: Sequence[Token]) -> Any:
    """The value that a word of the command line stands for: one value, or several with commas between. The parser's own
    conversion would read 2.5 as the whole number 2.

    kind: the type of the value. tokens: only the first is read. Raises ValueError, to which the parser adds the
    option's name."""
    word = tokens[0].value
    parts = [_number(part.strip()) for part in word.split(",")]
    readings: list[Any] = [parts]
    if len(parts) == 1:
        readings.insert(0, parts[0])
    for value in readings:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            continue
    raise ValueError(f"{word!r} must be {describe_type(kind)}")


def _number(text: str) -> int | float | str:
    """The number in a text: `4` → 4, `.5` → 0.5. Any other text as it is."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_names(parse: Callable[[str], tuple[str, ...]]) -> Parameter:
    """A parameter that makes the command line read an option as a list of names. parse: a typed text → its names."""

    def read(kind: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
        return tuple(chain.from_iterable(parse(token.value) for token in tokens))

    return Parameter(converter=read, negative=(), n_tokens=1)


WORD = Parameter(converter=read_word, n_tokens=1, negative=(), allow_repeating=False)
"""A parameter that makes the command line read an option with `read_word`."""

MOST = 10_000_000
"""The largest whole number of an option that has no bound of its own: enough for pictures, steps and pixels, and so few
that a list of them fits into memory."""
Count = Annotated[int, Meta(ge=1, le=MOST), WORD]
WholeNumber = Annotated[int, Meta(ge=0, le=MOST), WORD]
Whole = Annotated[int, WORD, Parameter(validator=Number(lte=MOST))]
"""A whole number that is no field of a configuration: those have their bounds in their types."""
Share = Annotated[float, Meta(ge=0, le=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Timestep = Annotated[int, Meta(ge=0, lt=1000), WORD]
"""A noise level of the diffusion, from 0 (no noise) to 999."""
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1, description="a whole number in [0, 2^63)"), WORD]
AnySeed = Annotated[int, WORD, Parameter(validator=lambda _, seed: check_seed(seed))]
"""A random seed that is no field of a configuration."""
Several = Annotated[tuple[Count, ...], Meta(min_length=1), WORD]
DType = Literal["float32", "float16", "bfloat16"]
Device = Annotated[str, Meta(pattern=r"^(cpu|mps|cuda)(:\d+)?$", description="one of cuda, cuda:0, mps, cpu")]


def shown(default: str | bool) -> Parameter:
    """A parameter with which the help shows a default. default: its text; False: show no default."""
    return Parameter(show_default=default)


def check_seed(seed: int) -> None:
    """Raises UserError for a seed that is out of range."""
    if not 0 <= seed < 2**63:
        raise UserError("seed", f"{seed} must be in [0, 2^63)")


NO_OPTION = {"option": False}
"""The metadata of a dataclass's field that is not an option."""


@lru_cache
def field_types(kind: type) -> dict[str, Any]:
    """Field → its type with bounds, for the fields of a dataclass except those with NO_OPTION."""
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in fields(kind) if f.metadata != NO_OPTION}


def check_fields(config: Any) -> None:
    """Convert the values of a dataclass to the types of their fields: lists become tuples, and paths become texts.
    Defaults are not checked. Raises UserError for the first value that its type does not allow."""
    hints = field_types(type(config))
    for field in fields(config):
        name = field.name
        value = getattr(config, name)
        if name in hints and value is not field.default and not is_dataclass(value):
            object.__setattr__(config, name, fit_field(name, value, hints[name]))


def fit_field(name: str, value: Any, hint: Any) -> Any:
    """A value, converted to the type of a field. name: the field's name, for messages. hint: the field's type. Raises
    UserError if the type does not allow the value."""
    plain = value
    if isinstance(value, PurePath):
        plain = str(value)
    elif isinstance(value, float):  # perhaps a number type of another library, such as NumPy
        plain = float(value)
    try:
        return fit(plain, hint, name)
    except UserError as error:
        wanted = describe_type(hint)
        problem = error.problem
        if wanted:
            problem = f"{show_json(value)} must be {wanted}"
            if isinstance(value, str) and wanted.startswith("a list"):
                problem += f", such as [{show_json(value)}]"
        raise UserError(name, problem) from None


def describe_type(hint: Any) -> str:
    """The values that a type allows, in words: `a number above 0 and below 1 or 'otsu'`. "" for a dataclass."""
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(describe_type(part) for part in arguments if part is not NoneType)
    if origin is Literal:
        texts = [repr(argument) for argument in arguments]
        if len(texts) > 2:
            return f"one of {', '.join(texts)}"
        return " or ".join(texts)
    if origin is tuple:
        each = describe_type(arguments[0])
        if arguments[-1] is ...:
            return f"a list, each {each}"
        return f"{len(arguments)} values, each {each}"
    if origin is Annotated:
        text = describe_type(arguments[0])
        for meta in arguments[1:]:
            if isinstance(meta, Meta):
                return meta.description or text + _bounds(meta)
        return text
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(hint, "")


def _bounds(meta: Meta) -> str:
    """The range of a number in words, such as ` above 0 and at most 1`; "" without bounds."""
    text = ""
    joint = " "
    for bound, word in (("ge", "of at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        value = getattr(meta, bound)
        if value is not None:
            number = value if isinstance(value, int) else f"{value:g}"
            text += f"{joint}{word} {number}"
            joint = " and "
    return text
