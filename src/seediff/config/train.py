"""The configuration of a training, in a frozen dataclass. The defaults are Mask2Former's, as in the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ..errors import UserError
from .base import DEFAULT, Layer, Settings, configure
from .fields import AtLeastZero, Count, check_fields

Architecture = Literal["mask2former", "segformer"]
BACKBONES: dict[str, tuple[str, ...]] = {
    "mask2former": ("r50", "swin-t", "swin-b", "tiny"),
    "segformer": ("b0", "b2", "b5", "tiny"),
}
LARGEST_SIDE = 1 << 14
"""Maximum side in pixels of a segmenter's input."""
Side = Annotated[int, Meta(ge=32, le=LARGEST_SIDE)]
"""Side in pixels; at least the coarsest feature's stride."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings):
    """All settings of a training except its data, which are in `Stage`."""

    command: ClassVar[str] = "train"
    deciding: ClassVar[tuple[str, ...]] = ("architecture", "backbone", "weights")
    following: ClassVar[tuple[str, ...]] = ("weights",)

    architecture: Architecture = "mask2former"
    """Segmenter architecture, as implemented in transformers."""
    backbone: str = "swin-b"
    """Backbone. b0, b2 and b5 are SegFormer's; tiny works with both, for images of 128 pixels on a CPU.

    mask2former: r50, swin-t, swin-b or tiny; segformer: b0, b2, b5 or tiny."""
    weights: str = "pretrained"
    """Initial weights: pretrained (backbone only), scratch, a local folder or a hub id.

    Pretrained weights come from the hub; tiny's come with the package. A folder or hub id may hold a backbone, or a whole network of the
    same architecture, whose class head is used if the number of classes agrees."""
    queries: Count = 100
    """mask2former: number of queries, which is the number of masks it proposes.

    At least as many as there are classes in an image. A whole network in weights keeps its own number."""

    crop: Side = 512
    """Side of the random crops in pixels.

    Smaller images are padded, with labels that are ignored."""
    scale: tuple[float, float] = (0.5, 2.0)
    """LOW,HIGH: the shorter side is CROP times a random number between these."""
    jitter: AtLeastZero = 1.0
    """Strength of random colour changes; 0 turns them off.

    Brightness (±32), contrast (×½ to 1½), saturation (×½ to 1½) and hue (±18°), as SSD has them."""
    flip: bool = True
    """Mirror images with probability ½."""
    test_side: Side = 512
    """Shorter side in pixels at which images are predicted."""

    batch_size: Count = 16
    """Images per step.

    In all parts and processes together."""
    accumulate: Count = 1
    """Parts that each batch is divided into, to save memory.

    Batch statistics and loss normalisation are computed per part."""
    learning_rate: Annotated[float, Meta(gt=0, lt=1)] = 1e-4
    """Learning rate of AdamW."""
    backbone_factor: AtLeastZero = 0.1
    """Factor on the learning rate for the backbone."""
    weight_decay: AtLeastZero = 0.05
    """Weight decay.

    For AdamW; norms, relative position biases and embeddings are excluded."""
    clip: AtLeastZero = 0.01
    """Maximum norm of the gradient; 0 turns clipping off."""
    schedule: Literal["poly", "step"] = "poly"
    """Learning rate schedule."""
    power: float = 0.9
    """poly: the rate falls with (1 − share of the stage's finished steps) to this power."""
    drops: tuple[Annotated[float, Meta(gt=0, lt=1)], ...] = (0.9, 0.95)
    """step: at these shares of the stage's steps the rate falls to a tenth."""
    warmup: Annotated[int, Meta(ge=0)] = 0
    """Number of steps in which the learning rate rises.

    Linearly, at the start of every stage."""
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Decay of a moving average of the weights, which is kept instead of the last weights; 0 turns it off.

    Validation uses it, too."""

    class_weight: AtLeastZero = 2.0
    mask_weight: AtLeastZero = 5.0
    dice_weight: AtLeastZero = 5.0
    no_object: AtLeastZero = 0.1
    """Weight of "no class" in Mask2Former's class loss."""
    points: Count = 12544
    """Number of pixels of a mask that Mask2Former's losses use."""

    auxiliary: AtLeastZero = 0.0
    """mask2former: weight of an auxiliary per-pixel cross entropy on the backbone's two coarsest features, with a linear layer that is
    discarded afterwards. A backbone trained from scratch learns classes many times faster with it; a pretrained one does not need it."""

    seed: Annotated[int, Meta(ge=0, lt=2**31, description="in [0, 2^31)")] = 0
    """Random seed; another seed gives another training."""
    device: str | None = None
    """Device: cuda, mps or cpu; None: the fastest available."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Number format; bfloat16 means mixed precision; None: bfloat16 on GPUs that have it, else float32.

    tiny also uses it on a CPU that has it."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.backbone not in (known := BACKBONES[self.architecture]):
            raise UserError(f"backbone = {self.backbone!r}: {self.architecture} has {', '.join(known)}")
        if self.weights == "pretrained" and (self.architecture, self.backbone) == ("segformer", "tiny"):
            raise UserError("weights = 'pretrained': do not exist for segformer's tiny; use 'scratch', or the folder of a trained one")
        if self.batch_size % self.accumulate:
            raise UserError(f"batch_size = {self.batch_size} cannot be divided into accumulate = {self.accumulate} equal parts")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"scale = {self.scale} must be (low, high) with 0 < low ≤ high")

    @classmethod
    def behind(cls, chosen: Mapping[str, Any], preset: str) -> list[Layer]:
        """The values that backbone `tiny` sets, and the default backbone of an architecture."""
        architecture = chosen.get("architecture", cls.architecture)
        backbone = chosen.get("backbone", {"segformer": "b0"}.get(architecture, cls.backbone))
        tiny = dict(TINY.get(architecture, {})) if backbone == "tiny" else {}
        if chosen.get("weights") == "pretrained":
            tiny.pop("backbone_factor", None)  # pretrained weights change slowly: a tenth of the rate, as for other backbones
        return [Layer("backbone tiny", tiny), Layer(DEFAULT, {"backbone": backbone})]


TINY: dict[str, dict[str, Any]] = {
    "mask2former": {
        "weights": "scratch", "queries": 12, "crop": 128, "test_side": 128, "scale": (0.9, 1.15), "jitter": 0.25, "learning_rate": 2e-3,
        "backbone_factor": 1.0, "warmup": 50, "points": 512, "class_weight": 10.0, "mask_weight": 2.0, "dice_weight": 2.0,
        "auxiliary": 20.0,
    },
    "segformer": {
        "weights": "scratch", "crop": 128, "test_side": 128, "scale": (0.9, 1.15), "jitter": 0.25, "learning_rate": 2e-3,
        "backbone_factor": 1.0, "warmup": 50, "clip": 1.0,
    },
}  # fmt: skip
"""Architecture → the constants with which backbone `tiny` differs from large pretrained networks."""


def make_config(*given: Mapping[str, Any] | Path | None) -> TrainConfig:
    """The configuration from tables of given values and, after them, a TOML file. Each value comes from the first that has it; the defaults
    of `tiny` (`TINY`) come after all of them. Raises UserError."""
    values = {name: value for table in reversed(given) if isinstance(table, Mapping) for name, value in table.items()}
    return configure(TrainConfig, values, next((file for file in given if isinstance(file, Path)), None))


def with_device(config: TrainConfig) -> TrainConfig:
    """The configuration with the device and number format that will be used. Raises UserError if the device is not available."""
    from ..devices import check_device, default_device, has_bfloat16  # imports torch

    device = check_device(config.device or default_device())
    mixed = (device.startswith("cuda") or config.backbone == "tiny") and has_bfloat16(device)
    return replace(config, device=device, dtype=config.dtype or ("bfloat16" if mixed else "float32"))
