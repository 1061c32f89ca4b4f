"""The options that decide what `generate` makes, as groups of the command line. What is not given is None: the file of --config, then
the defaults of GenerateConfig, decide about it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from ..config.constants import CaptureConfig, MaskConfig
from ..config.generate import GenerateConfig
from ..errors import UserError

if TYPE_CHECKING:
    from ..run.engine import Engine

IMAGES = Group("What to draw", sort_key=1)
MODEL = Group("Model", sort_key=2)
MASKS = Group("Masks", sort_key=3)
CAPTURE = Group("Attention", sort_key=4)
KEPT = Group("What to keep", sort_key=5)
RUN = Group("Run", sort_key=6)


def option(group: Group, text: str, default: object = None, **parameter: Any) -> Parameter:
    """An option with its help and the default that applies when nobody gives it."""
    return Parameter(group=group, help=text, show_default=str(default) if default is not None else False, **parameter)


@Parameter(name="*")
@dataclass(frozen=True)
class ImageOptions:
    """Fields of GenerateConfig; `classes` and `prompt` as the command line writes them."""

    classes: Annotated[
        str | None, option(IMAGES, "Names with commas between, a UTF-8 file of one per line, or `voc`: Pascal VOC's twenty.")
    ] = None
    per_class: Annotated[int | None, option(IMAGES, "Images that show each class.", GenerateConfig.per_class)] = None
    prompt: Annotated[
        list[str] | None,
        option(
            IMAGES,
            "Template with `{class}`, or a file of them; repeat for several, which take turns.",
            GenerateConfig.prompts[0],
            negative=(),
        ),
    ] = None
    negative_prompt: Annotated[str | None, option(IMAGES, "What images should not show.")] = None
    classes_per_image: Annotated[
        int | None,
        option(
            IMAGES,
            "Distinct classes in every image. --per-class counts the images that show a class: classes × per-class ÷ this in all.",
            GenerateConfig.classes_per_image,
        ),
    ] = None
    seed: Annotated[int | None, option(IMAGES, "Another seed, other images.", GenerateConfig.seed)] = None

    model: Annotated[str | None, option(MODEL, "A name from `seediff models`, a local folder or a hub id.", GenerateConfig.model)] = None
    steps: Annotated[int | None, option(MODEL, "Denoising steps.", GenerateConfig.steps)] = None
    guidance_scale: Annotated[
        float | None, option(MODEL, "How closely images follow the prompt; 1 is no guidance.", GenerateConfig.guidance_scale)
    ] = None
    size: Annotated[int | None, option(MODEL, "Side of the images in pixels.", "the model's own")] = None
    batch_size: Annotated[
        int | None,
        option(MODEL, "Images drawn together; part of the configuration, since rounding depends on it.", GenerateConfig.batch_size),
    ] = None
    device: Annotated[str | None, option(MODEL, "cuda, mps or cpu.", "the best there is")] = None
    dtype: Annotated[Literal["float32", "float16", "bfloat16"] | None, option(MODEL, "Number format.", "float16 on cuda, else float32")] = (
        None
    )
    threads: Annotated[
        int | None, option(MODEL, "Threads of the cpu; part of the configuration, since rounding depends on it.", "torch's own choice")
    ] = None

    reject: Annotated[
        bool | None, option(KEPT, "Draw a sample again when its mask is flagged; leave it out when every attempt is.", "no")
    ] = None
    attempts: Annotated[int | None, option(KEPT, "With --reject: how often at most a sample is drawn.", GenerateConfig.attempts)] = None
    keep_soft: Annotated[bool | None, option(KEPT, "Keep soft masks: soft/, a grey PNG per class, 255 = 1.", "no")] = None
    keep_attention: Annotated[bool | None, option(KEPT, "Keep attention: attention/, for other mask methods later. Large.", "no")] = None
    image_format: Annotated[Literal["png", "jpg"] | None, option(KEPT, "Of images; masks are always PNG.", GenerateConfig.image_format)] = (
        None
    )


@Parameter(name="*")
@dataclass(frozen=True)
class MaskOptions:
    """Fields of MaskConfig; lists as texts with commas."""

    method: Annotated[
        Literal["seediff", "ca", "ca_sa", "reference"] | None, option(MASKS, "How masks are made from attention.", MaskConfig.method)
    ] = None
    alpha: Annotated[float | None, option(MASKS, "Seeds are positions of at least this.", MaskConfig.alpha)] = None
    beta: Annotated[
        float | Literal["otsu"] | None, option(MASKS, "Threshold of the soft mask; otsu: each image's own.", MaskConfig.beta)
    ] = None
    expansion: Annotated[
        Literal["none", "parallel", "iterative"] | None, option(MASKS, "Growing seeds by self-attention.", MaskConfig.expansion)
    ] = None
    background: Annotated[bool | None, option(MASKS, "Refine with the background's own expansion.", "yes")] = None
    seed_level: Annotated[int | None, option(MASKS, "Seeds come from attention at latent side / this.", MaskConfig.seed_level)] = None
    expand_levels: Annotated[str | None, option(MASKS, "Sides of the expansion, as divisors of the latent side.", "4,2,1")] = None
    tau: Annotated[int | None, option(MASKS, "ca_sa: power of the self-attention.", MaskConfig.tau)] = None
    self_level: Annotated[int | None, option(MASKS, "ca_sa: self-attention at latent side / this.", MaskConfig.self_level)] = None
    ignore_band: Annotated[
        str | None,
        option(MASKS, "Soft values from LOW to HIGH become 255 (ignored), for example 0.5,0.6; replaces --beta."),
    ] = None
    pamr: Annotated[bool | None, option(MASKS, "Fit masks to the image's edges.", "yes")] = None
    pamr_iterations: Annotated[int | None, option(MASKS, "How often.", MaskConfig.pamr_iterations)] = None
    pamr_dilations: Annotated[
        str | None, option(MASKS, "Distances of the neighbours in pixels, for example 1,2,4,8.", "scaled with the image")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class CaptureOptions:
    """Fields of CaptureConfig."""

    normalize: Annotated[
        bool | None,
        option(
            CAPTURE,
            "Divide each map by its maximum before averaging.",
            "yes",
            name="--capture-normalize",
            negative="--no-capture-normalize",
        ),
    ] = None
    steps: Annotated[
        int | Literal["all", "second-half"] | None,
        option(
            CAPTURE,
            "Denoising steps whose attention counts: all, second-half, or a number k for every k-th.",
            CaptureConfig.steps,
            name="--capture-steps",
        ),
    ] = None
    layers: Annotated[
        Literal["all", "up", "down"] | None,
        option(CAPTURE, "Which side of the UNet counts.", CaptureConfig.layers, name="--capture-layers"),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class EngineOptions:
    """Who does the batches. None of it is part of the configuration: it changes no byte."""

    engine: Annotated[
        Literal["local", "ray"], option(RUN, "local: this process. ray: workers on this machine or on a Ray cluster's.", "local")
    ] = "local"
    workers: Annotated[int | None, option(RUN, "With --engine ray: how many.", "one per GPU, else one per core")] = None
    address: Annotated[
        str | None, option(RUN, "With --engine ray: of a running cluster; auto: this machine's.", "a cluster of this machine alone")
    ] = None


def chosen_engine(options: EngineOptions | None) -> Engine | None:
    """None: this process. Raises UserError."""
    options = options or EngineOptions()
    if options.engine == "ray":
        from ..run.engine_ray import Ray

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
        raise UserError(f"{option_name} {text}: must be numbers with commas between") from error
    if count is not None and len(values) != count:
        raise UserError(f"{option_name} {text}: must be {count} numbers with a comma between")
    return values
