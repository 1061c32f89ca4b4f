"""Options that several commands have, as groups of the command line, and what their texts mean. What is not given is None: the file of
--config, then the defaults of the configuration's class, decide about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token

from ..config.constants import CaptureConfig, MaskConfig
from ..config.fields import field_types
from ..config.generate import GenerateConfig
from ..errors import UserError
from ..files.output_folders import Out, Url, parse_folder, parse_out
from .derive import option, options_of

if TYPE_CHECKING:
    from ..run.loop import AnyJob, Engine, RunResult

IMAGES = Group("What to draw", sort_key=1)
MODEL = Group("Model", sort_key=2)
MASKS = Group("Masks", sort_key=3)
CAPTURE = Group("Attention", sort_key=4)
KEPT = Group("What to keep", sort_key=5)
RUN = Group("Run", sort_key=6)

NUMBERS = {"type": Literal["float32", "float16", "bfloat16"]}
DryRun = Annotated[bool, option(RUN, "Only say what would be done.", negative=())]
Quiet = Annotated[bool, option(RUN, "Print nothing but errors.", negative=())]
ConfigFile = Annotated[Path | None, option(RUN, "TOML file with any of these options; the command line overrides it.")]
DatasetOut = Annotated[
    str, option(RUN, "Folder of the dataset, or a URL of a store such as s3://bucket/name. An unfinished run in it is continued.")
]


def _folder(kind: Any, tokens: Sequence[Token]) -> Path:
    return parse_folder(tokens[0].value)


def _check_seed(kind: type, seed: int) -> None:
    from ..dataset.split import check_seed

    check_seed(seed)


HERE = Parameter(converter=_folder)
"""Beside an option's own Parameter: its text is a folder or file of this machine. Raises UserError for others."""
SEED = Parameter(validator=_check_seed)
"""Beside an option's own Parameter: its number is one that every generator of random numbers takes. Raises UserError for others."""


@options_of(
    GenerateConfig,
    {
        IMAGES: "classes per_class prompt negative_prompt classes_per_image seed",
        MODEL: "model base lora lora_scale embedding quantize vae_tiling compile scheduler steps guidance_scale size batch_size device "
        "dtype threads",
        KEPT: "reject attempts keep_soft keep_attention image_format",
    },
    dtype=NUMBERS,
    size={"type": str},
    steps={"default": "the model's own, else 50"},
    guidance_scale={"default": "the model's own, else 7.5"},
)
class ImageOptions:
    """Fields of GenerateConfig; `classes` and `prompt` as the command line writes them."""

    classes: Annotated[
        str | None, option(IMAGES, "Names with commas between, a UTF-8 file of one per line, or `voc`: Pascal VOC's twenty.")
    ] = None
    prompt: Annotated[
        list[str] | None,
        option(
            IMAGES,
            "Template with `{class}`, or a file of them; repeat for several, which take turns.",
            GenerateConfig.prompts[0],
            negative=(),
        ),
    ] = None


OFFLOAD = option(
    MODEL,
    "What waits in the computer's memory until the GPU needs it: parts (model) or single layers (sequential). Slower; changes no byte.",
    "none",
)


@options_of(MaskConfig, {MASKS: " ".join(field_types(MaskConfig))})
class MaskOptions:
    """Fields of MaskConfig; lists as texts with commas."""


@options_of(
    CaptureConfig,
    {CAPTURE: " ".join(field_types(CaptureConfig))},
    normalize={"name": "--capture-normalize", "negative": "--no-capture-normalize"},
    steps={"name": "--capture-steps"},
    layers={"name": "--capture-layers"},
    text_share={"name": "--text-share", "default": "row"},
)
class CaptureOptions:
    """Fields of CaptureConfig."""


@Parameter(name="*")
@dataclass(frozen=True)
class EngineOptions:
    """Who does the batches. None of it is part of the configuration: it changes no byte."""

    engine: Annotated[
        Literal["local", "ray"], option(RUN, "local: this process. ray: workers on this machine or on a Ray cluster's.", "local")
    ] = "local"
    workers: Annotated[int | None, option(RUN, "With --engine ray: number of workers.", "one per GPU, else one per core")] = None
    address: Annotated[
        str | None, option(RUN, "With --engine ray: address of a running cluster; auto: this machine's.", "a cluster of this machine alone")
    ] = None


def chosen_engine(options: EngineOptions | None) -> Engine | None:
    """None: this process. Raises UserError."""
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
        raise UserError(out, "is the memory of this process, which ends with the command", "name a folder, or s3://bucket/name")
    return place


def carry_out(job: AnyJob, out: Out, engine: Engine | None, what: str, *, dry_run: bool, quiet: bool) -> RunResult | None:
    """Run a job with progress on stderr, or, for `dry_run`, print what that would do. what: is counted."""
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
    """The fields of a configuration that were given, texts of lists read. options: a mapping, or a class of options. Raises UserError
    naming the option whose list cannot be read."""
    hints = get_type_hints(kind)
    values = dict(options) if isinstance(options, Mapping) else given(options)
    for name, value in values.items():
        hint = hints.get(name)
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        lists = [get_args(part) for part in parts if get_origin(part) is tuple]
        if isinstance(value, str) and lists and not any(value in get_args(part) for part in parts if get_origin(part) is Literal):
            read = numbers(value, f"--{name.replace('_', '-')}", lists[0][0], None if ... in lists[0] else len(lists[0]))
            values[name] = read[0] if len(read) == 1 and lists[0][0] in parts else read
    return values


def numbers(text: str, option_name: str, kind: type[int] | type[float], count: int | None = None) -> tuple[Any, ...]:
    """`4,2,1` → (4, 2, 1). UserError naming the option when it is something else."""
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option_name} {text}: must be {'whole ' * (kind is int)}numbers with commas between") from error
    if count is not None and len(values) != count:
        raise UserError(f"{option_name} {text}: must be {count} numbers with a comma between")
    return values
