"""The configuration of a training. The defaults are those of Mask2Former's paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from cyclopts import Group, Parameter
from msgspec import Meta

from ..errors import UserError
from .class_names import parse_classes
from .fields import RUN, WORD, AtLeastZero, Count, Device, Whole, WholeNumber, read_names, shown
from .settings import NOT_TYPED, Settings, build, read_given

Architecture = Literal["mask2former", "segformer"]
BACKBONES: dict[str, tuple[str, ...]] = {
    "mask2former": ("r50", "swin-t", "swin-b", "tiny"),
    "segformer": ("b0", "b2", "b5", "tiny"),
}
TINY_WEIGHTS = {"mask2former": ("scratch", "pretrained"), "segformer": ("scratch",)}
"""Architecture → the words for `weights` with which its backbone `tiny` can begin."""
DATA = Group("Data", sort_key=1)
OF_NETWORK = Parameter(group=Group("Network", sort_key=2))
TRAINING = Group("Training", sort_key=3)
IMAGES = Group("Images", sort_key=4)
OF_IMAGES = Parameter(group=IMAGES)
LARGEST_SIDE = 1 << 14
Side = Annotated[int, Meta(ge=32, le=LARGEST_SIDE), WORD]


@Parameter(group=TRAINING)
@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """The configuration of a training. It does not include the data."""

    command: ClassVar[str] = "train"
    deciding: ClassVar[tuple[str, ...]] = ("architecture", "backbone", "weights")

    architecture: Annotated[Architecture, OF_NETWORK] = "mask2former"
    """Segmenter architecture, as implemented in transformers."""
    backbone: Annotated[
        str, OF_NETWORK, Parameter(show_default="swin-b, or tiny without a GPU or for small images")
    ] = "swin-b"
    """Backbone. mask2former: r50, swin-t, swin-b or tiny; segformer: b0 (its default), b2, b5 or tiny. tiny is for
    128 pixels on a CPU, with its own defaults."""
    weights: Annotated[str, OF_NETWORK] = "pretrained"
    """Initial weights: pretrained (backbone only), scratch (tiny's default), or a local folder or hub id of a backbone
    or of a whole network of the same architecture, whose class head is used if the number of classes agrees."""
    queries: Annotated[Count, OF_NETWORK] = 100
    """mask2former: number of masks that it proposes, at least as many as there are classes in an image. A whole network
    in weights keeps its own number."""

    crop: Annotated[Side, OF_IMAGES] = 512
    """Side of the random crops in pixels. Smaller images are padded, with labels that are ignored."""
    scale: Annotated[tuple[float, float], WORD, OF_IMAGES] = (0.5, 2.0)
    """LOW,HIGH: the shorter side is CROP times a random number between these."""
    jitter: Annotated[AtLeastZero, OF_IMAGES] = 1.0
    """Strength of random changes of brightness, contrast, saturation and hue, as in SSD; 0 turns them off."""
    flip: Annotated[bool, OF_IMAGES] = True
    """Mirror images with probability ½; by default off if the other side of a class such as `left arm` is no class."""
    test_side: Annotated[Side, OF_IMAGES] = 512
    """Shorter side in pixels at which images are predicted."""

    batch_size: Count = 16
    """Images per step, over all parts."""
    accumulate: Count = 1
    """Parts that each batch is divided into, to save memory. Batch statistics are computed per part."""
    learning_rate: Annotated[float, Meta(gt=0, lt=1)] = 1e-4
    """Learning rate of AdamW."""
    backbone_factor: AtLeastZero = 0.1
    """Factor on the learning rate for the backbone."""
    weight_decay: AtLeastZero = 0.05
    """AdamW's weight decay, except for norms, relative position biases and embeddings."""
    clip: AtLeastZero = 0.01
    """Maximum norm of the gradient; 0 turns clipping off."""
    schedule: Literal["poly", "step"] = "poly"
    """Learning rate schedule."""
    power: Annotated[float, NOT_TYPED] = 0.9
    """poly: the rate falls with (1 − share of the stage's finished steps) to this power."""
    drops: Annotated[tuple[Annotated[float, Meta(gt=0, lt=1)], ...], NOT_TYPED] = (0.9, 0.95)
    """step: at these shares of the stage's steps the rate falls to a tenth."""
    warmup: WholeNumber = 0
    """Number of steps in which the learning rate rises linearly, at the start of every stage."""

    class_weight: Annotated[AtLeastZero, NOT_TYPED] = 2.0
    mask_weight: Annotated[AtLeastZero, NOT_TYPED] = 5.0
    dice_weight: Annotated[AtLeastZero, NOT_TYPED] = 5.0
    no_object: Annotated[AtLeastZero, NOT_TYPED] = 0.1
    """Weight of "no class" in Mask2Former's class loss."""
    points: Annotated[Count, NOT_TYPED] = 12544
    """Number of pixels of a mask that Mask2Former's losses use."""

    auxiliary: Annotated[AtLeastZero, NOT_TYPED] = 0.0
    """mask2former: weight of an auxiliary per-pixel cross entropy on the backbone's two coarsest features. A backbone
    trained from scratch learns classes many times faster with it."""

    seed: Annotated[int, Meta(ge=0, lt=2**31, description="a whole number in [0, 2^31)"), WORD] = 0
    """Random seed; a different seed gives a different training."""
    device: Annotated[Device | None, Parameter(group=RUN)] = None
    """Device: cuda, mps or cpu; by default the fastest available."""
    dtype: Annotated[Literal["float32", "bfloat16"] | None, Parameter(group=RUN)] = None
    """Number format; bfloat16 (mixed precision) is the default where the device has it, for tiny also on CPUs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        backbones = BACKBONES[self.architecture]
        if self.backbone not in backbones:
            raise UserError("backbone", f"{self.backbone!r}: {self.architecture} has {', '.join(backbones)}")
        lacks = "pretrained" not in TINY_WEIGHTS[self.architecture]
        if lacks and (self.weights, self.backbone) == ("pretrained", "tiny"):
            raise UserError(
                "weights", "'pretrained' is not available for segformer's tiny", "use 'scratch', or a folder"
            )
        if self.batch_size % self.accumulate:
            raise UserError("batch_size", f"{self.batch_size} cannot be divided into {self.accumulate} equal parts")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UserError("scale", f"{self.scale} must be (low, high) with 0 < low ≤ high")


ANY_TINY: dict[str, Any] = {
    "weights": "scratch", "crop": 128, "test_side": 128, "scale": (0.9, 1.15), "jitter": 0.25, "learning_rate": 2e-3,
    "backbone_factor": 1.0, "warmup": 50,
}  # fmt: skip
TINY: dict[str, dict[str, Any]] = {
    "mask2former": {
        **ANY_TINY, "queries": 12, "points": 512, "class_weight": 10.0, "mask_weight": 2.0, "dice_weight": 2.0,
        "auxiliary": 20.0,
    },
    "segformer": {**ANY_TINY, "clip": 1.0},
}  # fmt: skip
"""Architecture → the values of the backbone `tiny`, where they differ from the defaults, which are for large pretrained
networks."""
DEFAULT_BACKBONES = {"segformer": "b0"}
"""Architecture → its backbone if nobody names one. Other architectures have the class's default."""


def make_config(typed: Mapping[str, Any], file: Path | None = None, machine: Mapping[str, Any] = {}) -> TrainConfig:
    """The configuration of a training. Each value comes from the first of these that has it: `typed`, `file`,
    `machine`, the backbone's own values, the class's defaults.

    typed: field → value.
    file: a TOML file.
    machine: more values that nobody gave, such as a backbone for this machine.
    Raises UserError.
    """
    values, given = read_given(TrainConfig, typed, file)
    values = {**machine, **values}
    architecture = values.get("architecture", TrainConfig.architecture)
    own: dict[str, Any] = {}
    usual = {"backbone": DEFAULT_BACKBONES.get(architecture, TrainConfig.backbone)}
    if {**usual, **values}["backbone"] == "tiny":
        own = {**TINY.get(architecture, {})}
    if values.get("weights") == "pretrained":
        # pretrained weights change slowly: a tenth of the rate, as for other backbones
        own.pop("backbone_factor", None)
    return build(TrainConfig, usual, own, values, given=given)


def with_device(config: TrainConfig) -> TrainConfig:
    """The configuration with a device and a number format, if it had none. Raises UserError if this machine lacks the
    device."""
    from ..devices import check_device, default_device, has_bfloat16  # imports torch

    device = check_device(config.device or default_device())
    mixed = (device.startswith("cuda") or config.backbone == "tiny") and has_bfloat16(device)
    dtype = "bfloat16" if mixed else "float32"
    return config.filled(device=device, dtype=dtype)


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class TrainingOptions:
    """The data of a training. Python takes a `Dataset` for a path, too."""

    epochs: Annotated[float | None, shown("10")] = None
    """Number of passes through the data."""
    steps: Whole | None = None
    """Number of steps, instead of --epochs."""
    finetune: Annotated[tuple[Path, ...], Parameter(negative=())] = ()
    """Dataset for a second stage; repeat the option for several."""
    finetune_epochs: Annotated[float | None, shown("10")] = None
    """Epochs of the second stage."""
    finetune_steps: Whole | None = None
    """Steps of the second stage, instead of --finetune-epochs."""
    validation: Annotated[Path | None, Parameter(name="--val")] = None
    """Dataset to validate with. The segmenter with the best mIoU is kept."""
    validation_share: Annotated[
        float | None, Parameter(name="--val-share"), shown("the `val` parts of all datasets, if there are any")
    ] = None
    """Instead of --val: share of the first dataset to validate with."""
    classes: Annotated[tuple[str, ...] | None, read_names(parse_classes), shown("the first dataset's")] = None
    """Names separated by commas, a file with one per line, or `voc`."""
    split: Annotated[str | None, shown("all but `val` and `test`")] = None
    """Parts of the datasets to train on, separated by commas."""
    with_rejected: Annotated[bool, Parameter(group=RUN, negative=(), show_default="no")] = False
    """Also use samples that were rejected in `seediff look`."""
