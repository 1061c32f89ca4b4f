"""The recipe of the embedded model: every constant of `python -m recipes.mini train`, read from one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from seediff.errors import UserError
from seediff.files.reading import fit, read_toml

from .world import NAMED, ODDS

CROP = 64
"""Side in pixels of the crops that the autoencoder is trained on."""
SIDE_MULTIPLE = 16
"""An image's side must be a multiple of this: the latents' side is a quarter of it, and the denoiser halves that
twice.
"""
AUTOENCODER_GROUPS, DENOISER_GROUPS = 8, 16
"""Numbers of groups in the group norms, which divide all channels."""
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]
Rate = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Three = tuple[Count, Count, Count]


class Autoencoder(Struct, frozen=True, forbid_unknown_fields=True):
    """AutoencoderKL with 4 latent channels at a quarter of the image's side; trained on 64² crops (no attention, so any
    size).
    """

    channels: Three = (16, 32, 64)
    crops: Count = 40_000  # in total
    batch: Count = 32
    learning_rate: Rate = 2e-3
    latent_noise: Weight = 0.1  # std of noise on the latents, so that the decoder tolerates errors of a small UNet
    kl_weight: Weight = 1e-5


class Denoiser(Struct, frozen=True, forbid_unknown_fields=True):
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


class Recipe(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of `python -m recipes.mini train`. seed also determines the scenes."""

    seed: Amount = 0
    side: Count = 128
    scenes: Count = 24_000
    describe: bool = True  # captions say whether a scene is mirrored and which drawing it shows (see render_scene)
    named: Share = NAMED  # of objects that such captions call by their drawing's phrase
    close_ups: Share = 0.75  # of scenes that show one large object (see render_scene)
    objects: Three = ODDS  # odds of one, two and three objects in the other scenes
    checkpoint_minutes: Rate = 5.0
    autoencoder: Autoencoder = Autoencoder()
    denoiser: Denoiser = Denoiser()

    def __post_init__(self) -> None:
        if self.side < CROP or self.side % SIDE_MULTIPLE:
            raise UserError("side", f"{self.side} must be a multiple of {SIDE_MULTIPLE}, and at least {CROP}")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises UserError naming an unknown key or a wrong value."""
    return fit(read_toml(path), Recipe, path.name)
