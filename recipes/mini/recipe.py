"""The recipe of the embedded model: every constant of `python -m recipes.mini train`, read from one TOML file."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from seediff.config.fields import check_table
from seediff.errors import UserError
from seediff.files.documents import read_toml

from .world import NAMED, ODDS

CROP = 64
"""Side in pixels of the crops that the autoencoder is trained on."""
SIDE_MULTIPLE = 16
"""An image's side must be a multiple of this: the latents' side is a quarter of it, and the denoiser halves that
twice.
"""
AUTOENCODER_GROUPS, DENOISER_GROUPS = 8, 16
"""Numbers of groups in the group norms."""
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Three = tuple[Count, Count, Count]


@dataclass(frozen=True)
class Autoencoder:
    """AutoencoderKL with 4 latent channels at a quarter of the image's side; trained on 64² crops (no attention, so any
    size).
    """

    channels: Three = (16, 32, 64)
    crops: Count = 40_000  # in total
    batch: Count = 32
    learning_rate: Rate = 2e-3
    latent_noise: Weight = 0.1  # std of noise on the latents, so that the decoder tolerates errors of a small UNet
    kl_weight: Weight = 1e-5

    def __post_init__(self) -> None:
        _check_channels(self.channels, AUTOENCODER_GROUPS)
        if self.crops < self.batch:
            raise UserError("crops", f"{self.crops} must be at least batch = {self.batch}: one step")


@dataclass(frozen=True)
class Denoiser:
    """UNet2DConditionModel with attention at sides 32, 16 and 8, and a text encoder without layers, so that words keep
    their meaning; and how both are trained.
    """

    channels: Three = (64, 96, 160)
    heads: Three = (1, 2, 4)
    text_width: Count = 96
    layers: Count = 1  # residual blocks with attention per level on the way down; one more on the way up
    samples: Count = 460_000  # in total; a run may stop earlier and be continued
    batch: Count = 32
    learning_rate: Rate = 3e-3
    descent: Annotated[float, Meta(gt=0, le=1)] = 0.25  # share of the training over which the rate falls, at its end
    warmup: Count = 100  # steps
    coarse_samples: Amount = 256_000  # the first of `samples`, trained on latents of half the side (see half_size.py)
    ema_decay: Share = 0.9995
    caption_dropout: Share = 0.1
    middle_share: Share = (
        0.8  # of timesteps drawn logit-normally about the middle, as in Stable Diffusion 3; the others are uniform
    )
    alignment_weight: Weight = 0.2  # of the loss that pulls inner features towards a teacher's; 0: no teacher
    grouping_weight: Weight = 0.02  # of the self-attention grouping loss (see grouping.py); 0 switches it off
    agreement_weight: Weight = (
        0.05  # of the loss that pulls the word maps of all levels towards the middle level's; needs grouping
    )
    grouping_rows: Count = 64  # random query rows per image and layer that the loss looks at
    grouping_words_from: Amount = 12_000  # samples after which word maps, not only colours, define the groups
    grouping_words_full: Count = 30_000  # samples after which word maps have their full weight

    def __post_init__(self) -> None:
        if self.samples < self.batch:
            raise UserError("samples", f"{self.samples} must be at least batch = {self.batch}: one step")
        _check_channels(self.channels, DENOISER_GROUPS)
        for count, heads in zip(self.channels, self.heads, strict=True):
            if count % heads:
                raise UserError(
                    "heads",
                    f"{list(self.heads)} must divide channels = {list(self.channels)}, each its own: {heads} and"
                    f" {count}",
                )
        if self.grouping_words_full <= self.grouping_words_from:
            raise UserError(
                "grouping_words_full",
                f"{self.grouping_words_full} must be above grouping_words_from = {self.grouping_words_from}",
            )


@dataclass(frozen=True)
class Recipe:
    """All settings of `python -m recipes.mini train`. seed also determines the scenes."""

    seed: Amount = 0
    side: Count = 128
    scenes: Count = 24_000
    describe: bool = True  # captions say whether a scene is mirrored and which drawing it shows (see render_scene)
    named: Share = NAMED  # of objects that such captions call by their drawing's phrase
    close_ups: Share = 0.75  # of scenes that show one large object (see render_scene)
    objects: Three = ODDS  # odds of one, two and three objects in the other scenes
    checkpoint_minutes: Rate = 5.0
    autoencoder: Autoencoder = field(default_factory=Autoencoder)
    denoiser: Denoiser = field(default_factory=Denoiser)

    def __post_init__(self) -> None:
        if self.side < CROP or self.side % SIDE_MULTIPLE:
            raise UserError("side", f"{self.side} must be a multiple of {SIDE_MULTIPLE}, and at least {CROP}")

    @classmethod
    def from_toml(cls, path: Path) -> Recipe:
        """Read a recipe. Raises UserError naming an unknown key or a wrong value."""
        return _built(cls, check_table(cls, read_toml(path), path.name), path.name)


def _built(kind: Any, values: dict[str, Any], where: str) -> Any:
    """The dataclass `kind` from checked values, including nested tables."""
    parts = {f.name: type(f.default_factory()) for f in fields(kind) if f.default_factory is not MISSING}
    tables = {key: _built(parts[key], value, f"{where} [{key}]") for key, value in values.items() if key in parts}
    try:
        return kind(**values | tables)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_channels(channels: tuple[int, ...], groups: int) -> None:
    for count in channels:
        if count % groups:
            raise UserError(
                "channels", f"{list(channels)} must be multiples of {groups}, the groups of the norms; {count} is not"
            )
