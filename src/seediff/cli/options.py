"""Options of the command line: made from the fields of configurations, so that types, help texts and defaults are written only once;
shared by several commands; and parsed.

The help text of an option is the string beneath its field in the source. An option that is not given is None: its value then comes from
the file of --config, or else from the configuration's defaults.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, make_dataclass
from functools import lru_cache, reduce
from operator import or_
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token

from ..config.base import chosen_model, flatten
from ..config.constants import CaptureConfig, MaskConfig
from ..config.fields import field_types
from ..config.generate import DatasetConfig, GenerateConfig
from ..config.levels import reads_self_attention
from ..config.methods import METHOD_FACTS, Method
from ..config.names import parse_classes
from ..errors import UserError
from ..files.messages import shown
from ..files.output_folders import Out, Url, parse_folder, parse_out

if TYPE_CHECKING:
    from ..config.presets import Tuned
    from ..run.loop import AnyJob, Engine, RunResult

Options = TypeVar("Options")


class FieldText(NamedTuple):
    """The help of a field. text: the first paragraph beneath the field, in one line, without its "None: …". default: as written on the
    command line; for None, its meaning; "" if there is nothing to show."""

    text: str
    default: str


def field_texts(kind: type) -> dict[str, FieldText]:
    """Field → text and default, for a configuration's class with its inherited fields."""
    beneath: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        beneath |= _beneath(base.__module__).get(base.__name__, {})
    return {f.name: _text(beneath.get(f.name, ""), f.default) for f in fields(kind) if f.compare}


def _text(paragraphs: str, default: Any) -> FieldText:
    text = " ".join(paragraphs.split("\n\n")[0].split())
    parts = re.fullmatch(r"(.*?)[;.] None: (.*?)\.?", text)
    unset = parts[2] if parts else ""
    return FieldText(f"{parts[1]}." if parts else text, unset if default is None else _shown(default))


def _shown(value: Any) -> str:
    if value is MISSING or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@lru_cache
def _beneath(module: str) -> dict[str, dict[str, str]]:
    """Class → field → the string beneath it, from a module's source; empty if the source is not available."""
    if not module.startswith("seediff."):
        return {}
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return {}
    return {
        node.name: {
            field.target.id: beneath.value.value
            for field, beneath in zip(node.body, node.body[1:], strict=False)
            if isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(beneath, ast.Expr)
            and isinstance(beneath.value, ast.Constant)
            and isinstance(beneath.value.value, str)
        }
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def option(group: Group, text: str, default: object = None, **parameter: Any) -> Parameter:
    """An option with its help text. default: shown in the help."""
    return Parameter(group=group, help=text, show_default=str(default) if default not in (None, "") else False, **parameter)


def field_option(kind: type, name: str, group: Group, /, **change: Any) -> Parameter:
    """The option of a field. change: another `text` or `default`, and further arguments of `Parameter`."""
    about = field_texts(kind)[name]
    return option(group, change.pop("text", about.text), change.pop("default", about.default), **change)


def options_of(kind: type, layout: Mapping[Group, str], /, **changes: Mapping[str, Any]) -> Callable[[type[Options]], type[Options]]:
    """A decorator that makes a class of options, one for each field of `kind` that `layout` names; options that are not given are None.

    layout: group → fields separated by spaces. changes: field → its `type` on the command line, and arguments of `field_option`. Options
    that the class declares itself stay as they are; `layout` names them only for their place in the help.
    """

    def decorate(cls: type[Options]) -> type[Options]:
        hints, declared = get_type_hints(kind), get_type_hints(cls, include_extras=True)
        made = []
        for group, names in layout.items():
            for name in names.split():
                change = dict(changes.get(name, {}))
                typed = change.pop("type", None) or _typed(hints.get(name, str))
                if typed is int:
                    change.setdefault("converter", whole_number)
                made.append((name, declared.get(name) or Annotated[typed | None, field_option(kind, name, group, **change)], None))
        together = make_dataclass(cls.__name__, made, frozen=True, namespace={"__doc__": cls.__doc__, "__module__": cls.__module__})
        return Parameter(name="*")(together)

    return decorate


def whole_number(_: Any, tokens: Sequence[Token]) -> int:
    """The int in a text. The parser's own conversion would read 2.5 as 2."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"{tokens[0].value!r} is not a whole number") from error


def _typed(hint: Any) -> Any:
    """A field's type on the command line: without None, and str (values separated by commas) if it may be a tuple."""
    parts = [part for part in get_args(hint) if part is not NoneType] if get_origin(hint) in (Union, UnionType) else [hint]
    return str if any(get_origin(part) is tuple for part in parts) else reduce(or_, parts)


IMAGES = Group("Input", sort_key=1)
MODEL = Group("Model", sort_key=2)
MASKS = Group("Masks", sort_key=3)
CAPTURE = Group("Attention", sort_key=4)
KEPT = Group("Extra output", sort_key=5)
RUN = Group("Run", sort_key=6)

NUMBERS = {"type": Literal["float32", "float16", "bfloat16"]}
DryRun = Annotated[bool, option(RUN, "Print the plan and stop.", negative=())]
Quiet = Annotated[bool, option(RUN, "Print nothing but errors.", negative=())]
ConfigFile = Annotated[Path | None, option(RUN, "TOML file with any of these options. The command line overrides it.")]
DatasetOut = Annotated[
    str, option(RUN, "Folder for the dataset, or an address such as s3://bucket/name. Continues an unfinished run there.")
]


def _folder(kind: Any, tokens: Sequence[Token]) -> Path:
    return parse_folder(tokens[0].value)


def _check_seed(kind: type, seed: int) -> None:
    from ..dataset.split import check_seed

    check_seed(seed)


HERE = Parameter(converter=_folder)
"""A second Parameter of options whose value is a folder or file on this machine. Raises UserError for an address."""
SEED = Parameter(validator=_check_seed)
"""A second Parameter of options whose value is a random seed. Raises UserError for seeds that not every random generator accepts."""


@options_of(
    GenerateConfig,
    {
        IMAGES: "classes per_class prompt vary subclasses negative_prompt classes_per_image seed",
        MODEL: "model base lora lora_scale embedding quantize vae_tiling compile scheduler steps guidance_scale size batch_size device "
        "dtype threads",
        KEPT: "reject attempts min_agreement objects keep_soft keep_attention image_format",
    },
    dtype=NUMBERS,
    size={"type": str},
    steps={"default": "the model's own, else 50"},
    guidance_scale={"default": "the model's own, else 7.5"},
)
class ImageOptions:
    """Fields of GenerateConfig; classes, prompts and subclasses as text, and `vary`, which adds phrases to the prompts."""

    classes: Annotated[
        str | None,
        option(
            IMAGES,
            "Names separated by commas, a UTF-8 file with one per line, `voc` for Pascal VOC's twenty, or `all` of a small model's.",
        ),
    ] = None
    prompt: Annotated[
        list[str] | None,
        option(
            IMAGES,
            "Template with `{class}`, or a file of templates. Repeat the option for several, which take turns.",
            GenerateConfig.prompts[0],
            negative=(),
        ),
    ] = None
    vary: Annotated[
        str | None, option(IMAGES, "Add phrases to the templates: place, light, view, or several, separated by commas.", "none")
    ] = None
    subclasses: Annotated[
        str | None,
        option(
            IMAGES,
            "What prompts call the classes: phrases with a class's name, such as `poodle dog`, which take turns; separated by commas, a "
            "file with one per line, or `none`.",
            "none",
        ),
    ] = None


OFFLOAD = option(
    MODEL,
    "Keep whole parts (model) or single layers (sequential) in main memory until the GPU needs them. Slower; same bytes.",
    "none",
)


def _method(_: Any, tokens: Sequence[Token]) -> str:
    """A method's name, or that of the function in FILE.py:FUNCTION, which is run and registered."""
    if ".py:" not in tokens[0].value:
        return tokens[0].value
    from ..masks.own import register_file  # imports torch

    return register_file(tokens[0].value)


METHOD = {"type": Method | str, "converter": _method}


@options_of(MaskConfig, {MASKS: " ".join(field_types(MaskConfig))}, method=METHOD)
class MaskOptions:
    """Fields of MaskConfig; lists as texts with commas."""


@options_of(
    CaptureConfig,
    {CAPTURE: " ".join(name for name in field_types(CaptureConfig) if name != "flip")},
    normalize={"name": "--capture-normalize", "negative": "--no-capture-normalize"},
    steps={"name": "--capture-steps"},
    layers={"name": "--capture-layers"},
    mean={"name": "--capture-mean"},
    prompt={"name": "--capture-prompt"},
    text_share={"name": "--text-share", "default": "row"},
)
class CaptureOptions:
    """Fields of CaptureConfig."""


@options_of(
    CaptureConfig,
    {CAPTURE: "flip"},
    flip={"name": "--capture-flip", "negative": ()},
)
class AgainOptions:
    """Fields of CaptureConfig that apply only to photographs."""


@Parameter(name="*")
@dataclass(frozen=True)
class EngineOptions:
    """Where batches run. Not part of the configuration, because it changes no byte of the output."""

    engine: Annotated[
        Literal["local", "ray"],
        option(RUN, "Where batches run: in this process (local), or in Ray workers on this machine or a cluster (ray).", "local"),
    ] = "local"
    workers: Annotated[int | None, option(RUN, "With --engine ray: number of workers.", "one per GPU, else one per core")] = None
    address: Annotated[
        str | None,
        option(
            RUN, "With --engine ray: address of a running cluster, or auto for the one on this machine.", "start a cluster on this machine"
        ),
    ] = None


def named_classes(
    text: str, kind: type[DatasetConfig], line: Mapping[str, Any], file: Path | None, tuned: Tuned | None = None
) -> tuple[str, ...]:
    """As `parse_classes`, with `all` for every class of the model that `configure` would take. Raises UserError for `all` if the model is
    not limited to a list of classes."""
    if text.strip() != "all":
        return parse_classes(text)
    from ..models.info import find_settings

    model, base = chosen_model(kind, line, file, tuned)
    if not (known := find_settings(model, base).classes):
        raise UserError("classes = all", f"model '{model}' is not limited to a list of classes", "name those that you want")
    return known


def chosen_engine(options: EngineOptions | None) -> Engine | None:
    """The engine for the batches; None: this process. Raises UserError for options that need --engine ray."""
    options = options or EngineOptions()
    if options.engine == "ray":
        from ..run.cluster import Ray

        return Ray(options.workers, options.address)
    for name in ("workers", "address"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name}: is an option of --engine ray")
    return None


def parse_place(out: str) -> Out:
    """As `parse_out`. Raises UserError also for a store that would be gone when the command ends."""
    place = parse_out(out)
    if isinstance(place, Url) and place.scheme == "memory":
        raise UserError(out, "is the memory of this process and would be lost when the command ends", "name a folder, or s3://bucket/name")
    return place


def carry_out(job: AnyJob, out: Out, engine: Engine | None, what: str, *, dry_run: bool, quiet: bool) -> RunResult | None:
    """Run a job with progress on stderr, or, for `dry_run`, print its plan. what: the plural of what progress counts."""
    from ..run import loop
    from .progress import show_progress

    if dry_run:
        print(loop.plan(job, out, engine=engine))
        return None
    with show_progress(quiet, out, what) as progress:
        return loop.run(job, out, engine=engine, progress=progress)


def given(options: Any) -> dict[str, Any]:
    """The options that were given: name → value."""
    return {f.name: value for f in fields(options) if (value := getattr(options, f.name)) is not None}


def table(kind: type, options: Any) -> dict[str, Any]:
    """The options that were given, as a table of fields of `kind`, with lists parsed. options: a mapping, or an instance of a class of
    options. Raises UserError naming an option whose list cannot be parsed."""
    hints = get_type_hints(kind)
    values = dict(options) if isinstance(options, Mapping) else given(options)
    for name, value in values.items():
        hint = hints.get(name)
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        lists = [get_args(part) for part in parts if get_origin(part) is tuple]
        if isinstance(value, str) and lists and not any(value in get_args(part) for part in parts if get_origin(part) is Literal):
            each = str if get_origin(lists[0][0]) is Literal else lists[0][0]
            read = numbers(value, f"--{name.replace('_', '-')}", each, None if ... in lists[0] else len(lists[0]))
            values[name] = read[0] if len(read) == 1 and lists[0][0] in parts else read
    return values


def check_mask_effects(line: Mapping[str, Any], settled: DatasetConfig) -> None:
    """Raise UserError for an option on the command line that has no effect in the configuration: of masks, of capture, or --attempts."""
    mask, pamr = settled.mask, "" if settled.mask.pamr else "PAMR is off"
    finish, own = mask.facts.finish, f"{mask.method} has its own"
    ours = mask.method == "seediff"
    idle = "nothing is expanded" if ours and not reads_self_attention(mask) else ""
    reasons = {
        "attempts": "" if getattr(settled, "reject", False) else "only --reject draws samples again",
        "mask.seed_level": idle or ("each level has its own seeds" if ours and mask.expansion != "iterative" else ""),
        "mask.alpha": idle,
        "mask.beta": "the ignored band replaces it" if mask.ignore_band else own if finish.threshold else "",
        "mask.pamr_iterations": pamr or (own if finish.iterations else ""),
        "mask.pamr_dilations": pamr or (own if finish.dilations else ""),
    }
    for name, value in flatten(type(settled), line).items():
        field, reason = name.removeprefix("mask."), reasons.get(name)
        if (methods := [method for method, facts in METHOD_FACTS.items() if field in facts.reads]) and field not in mask.facts.reads:
            reason = f"it is an option of {' and '.join(', '.join(methods).rsplit(', ', 1))}, not of {mask.method}"
        if reason:
            raise UserError(f"{name} = {shown(value)}", f"has no effect, as {reason}", "leave it out")


def numbers(text: str, option_name: str, kind: type[int] | type[float] | type[str], count: int | None = None) -> tuple[Any, ...]:
    """`4,2,1` → (4, 2, 1). count: the number of values required, if any. Raises UserError naming the option for any other text."""
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option_name} {text}: must be {'whole ' * (kind is int)}numbers separated by commas") from error
    if count is not None and len(values) != count:
        raise UserError(f"{option_name} {text}: must be {count} numbers separated by commas")
    return values
