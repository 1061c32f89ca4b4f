"""The options that decide what `generate` makes, as groups of the command line. What is not given is None: the file of --config, then
the defaults of GenerateConfig, decide about it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from ..config.constants import CaptureConfig, MaskConfig
from ..config.generate import GenerateConfig
from ..errors import UserError
from .derive import option, options_of

if TYPE_CHECKING:
    from ..run.loop import Engine

IMAGES = Group("What to draw", sort_key=1)
MODEL = Group("Model", sort_key=2)
MASKS = Group("Masks", sort_key=3)
CAPTURE = Group("Attention", sort_key=4)
KEPT = Group("What to keep", sort_key=5)
RUN = Group("Run", sort_key=6)


NUMBERS = {"type": Literal["float32", "float16", "bfloat16"]}


@options_of(
    GenerateConfig,
    {
        IMAGES: "classes per_class prompt negative_prompt classes_per_image seed",
        MODEL: "model lora lora_scale embedding vae_tiling compile steps guidance_scale size batch_size device dtype threads",
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


@options_of(
    MaskConfig,
    {
        MASKS: "method alpha beta expansion background seed_level expand_levels tau self_level ignore_band pamr pamr_iterations "
        "pamr_dilations"
    },
)
class MaskOptions:
    """Fields of MaskConfig; lists as texts with commas."""


@options_of(
    CaptureConfig,
    {CAPTURE: "normalize steps layers text_share"},
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


def given(options: Any) -> dict[str, Any]:
    """The options that were given: name → value."""
    return {f.name: value for f in fields(options) if (value := getattr(options, f.name)) is not None}


def mask_table(masks: MaskOptions) -> dict[str, Any]:
    """What of MaskConfig was given. UserError naming the option whose list cannot be read."""
    mask = given(masks)
    for name, kind, count in (("expand_levels", int, None), ("pamr_dilations", int, None), ("ignore_band", float, 2)):
        if name in mask:
            mask[name] = numbers(mask[name], "--" + name.replace("_", "-"), kind, count)
    return mask


def numbers(text: str, option_name: str, kind: type[int] | type[float], count: int | None = None) -> tuple[Any, ...]:
    """`4,2,1` → (4, 2, 1). UserError naming the option when it is something else."""
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"{option_name} {text}: must be {'whole ' * (kind is int)}numbers with commas between") from error
    if count is not None and len(values) != count:
        raise UserError(f"{option_name} {text}: must be {count} numbers with a comma between")
    return values
