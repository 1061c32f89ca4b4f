"""The recipe of the embedded model: every constant of `python -m recipes.mini train`, read from one TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from seediff.errors import UserError
from seediff.files.documents import read_toml

from .world import ODDS

CROP = 64
"""Side of the crops, in pixels, that the autoencoder is trained on."""
SIDE_MULTIPLE = 16
"""Of an image's side: the latents are a quarter of it, and the denoiser halves them twice."""
NETWORKS = {"unet": "denoiser", "transformer": "transformer"}
"""What may be trained, and its table."""
TEACHER_CHANNELS = 128
AUTOENCODER_GROUPS, DENOISER_GROUPS = 8, 16
"""Groups that the group norms divide channels into."""


@dataclass(frozen=True)
class Autoencoder:
    """AutoencoderKL with 4 latent channels at a quarter of the image's side; trained on 64² crops (no attention, so any size)."""

    channels: tuple[int, ...] = (16, 32, 64)
    crops: int = 40_000  # in all
    batch: int = 32
    learning_rate: float = 2e-3
    latent_noise: float = 0.1  # std added to latents: the decoder forgives what a small UNet gets wrong
    kl_weight: float = 1e-5

    def __post_init__(self) -> None:
        _check_channels(self.channels, AUTOENCODER_GROUPS)
        if self.crops < self.batch:
            raise UserError(f"crops = {self.crops} must be at least batch = {self.batch}: one step")


@dataclass(frozen=True)
class Teacher:
    """The network whose features a denoiser is drawn towards (see teacher.py)."""

    samples: int = 48_000  # in all; 0: none is trained, the backbone in the package teaches, which knows classes but not drawings
    batch: int = 64
    features: int = 64  # principal components that are kept of its 128 channels

    def __post_init__(self) -> None:
        if self.features > TEACHER_CHANNELS:
            raise UserError(f"features = {self.features} must be at most {TEACHER_CHANNELS}, the teacher's channels")


@dataclass(frozen=True)
class Schedule:
    """How a network is trained."""

    samples: int = 460_000  # in all; a run may end before and be continued
    batch: int = 32
    learning_rate: float = 3e-3
    warmup: int = 100  # steps
    coarse_samples: int = 256_000  # of `samples`, the first, which learn from latents of half the side (see coarse.py)
    ema_decay: float = 0.9995
    caption_dropout: float = 0.1
    middle_share: float = 0.8  # of the timesteps, drawn logit-normally about the middle as in Stable Diffusion 3; the others uniformly
    alignment_weight: float = 0.2  # of the loss that draws inner features towards a teacher's; 0: there is no teacher

    def __post_init__(self) -> None:
        if self.samples < self.batch:
            raise UserError(f"samples = {self.samples} must be at least batch = {self.batch}: one step")
        for name in ("ema_decay", "caption_dropout", "middle_share"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise UserError(f"{name} = {value} must be from 0 to 1")


@dataclass(frozen=True)
class Denoiser(Schedule):
    """UNet2DConditionModel with attention at 32, 16 and 8 and a text encoder without layers, so that words keep their meaning."""

    channels: tuple[int, ...] = (64, 96, 160)
    heads: tuple[int, ...] = (1, 2, 4)
    text_width: int = 96
    min_snr_gamma: float = 0.0  # weights of the loss; 0: the same for every timestep
    grouping_weight: float = 0.02  # of the self-attention grouping loss (see grouping.py); 0 switches it off
    agreement_weight: float = 0.05  # of the loss that draws the words' maps of all levels to the middle one's; needs grouping
    grouping_rows: int = 64  # random query rows per image and layer that the loss looks at
    grouping_words_from: int = 12_000  # samples after which words, not only colours, say what belongs together
    grouping_words_full: int = 30_000

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_channels(self.channels, DENOISER_GROUPS)
        for count, heads in zip(self.channels, self.heads, strict=True):
            if count % heads:
                raise UserError(
                    f"heads = {list(self.heads)} must divide channels = {list(self.channels)}, each its own: {heads} and {count}"
                )
        if self.grouping_words_full <= self.grouping_words_from:
            raise UserError(
                f"grouping_words_full = {self.grouping_words_full} must be above grouping_words_from = {self.grouping_words_from}"
            )


@dataclass(frozen=True)
class Transformer(Schedule):
    """SD3Transformer2DModel, as Stable Diffusion 3.5 has it without T5: tokens of 2 × 2 latents, two text encoders side by side."""

    layers: int = 6
    heads: int = 6
    head_width: int = 32
    text_widths: tuple[int, ...] = (96, 32)  # of the two text encoders

    def __post_init__(self) -> None:
        super().__post_init__()
        if (width := self.heads * self.head_width) % 4:
            raise UserError(f"heads = {self.heads} times head_width = {self.head_width} is {width}, and must be a multiple of 4")


@dataclass(frozen=True)
class Recipe:
    """All of `python -m recipes.mini train`. seed also decides the scenes."""

    seed: int = 0
    side: int = 128
    scenes: int = 24_000
    describe: bool = True  # captions tell mirrored scenes and, half of the time, which drawing is shown (see render_scene)
    close_ups: float = 0.75  # share of the scenes that show one large object (see render_scene)
    objects: tuple[int, int, int] = ODDS  # odds of one, two and three objects in the other scenes
    workers: int = 0  # processes that share each batch of the denoiser; 0: one per core on a CPU, one on a GPU
    checkpoint_minutes: float = 5.0
    network: str = "unet"  # or "transformer": which of the two tables below is trained
    autoencoder: Autoencoder = field(default_factory=Autoencoder)
    teacher: Teacher = field(default_factory=Teacher)
    denoiser: Denoiser = field(default_factory=Denoiser)
    transformer: Transformer = field(default_factory=Transformer)

    def __post_init__(self) -> None:
        if self.side < CROP or self.side % SIDE_MULTIPLE:
            raise UserError(f"side = {self.side} must be a multiple of {SIDE_MULTIPLE}, and at least {CROP}")
        if not 0 <= self.close_ups <= 1:
            raise UserError(f"close_ups = {self.close_ups} must be from 0 to 1")
        if self.network not in NETWORKS:
            raise UserError(f"network = {self.network!r} must be {' or '.join(map(repr, NETWORKS))}")
        if self.workers > self.schedule.batch:
            raise UserError(f"workers = {self.workers} must be at most the {self.table}'s batch of {self.schedule.batch}, which they share")

    @property
    def table(self) -> str:
        """The table of the network that is trained."""
        return NETWORKS[self.network]

    @property
    def schedule(self) -> Schedule:
        """How it is trained."""
        return getattr(self, self.table)

    @classmethod
    def from_toml(cls, path: Path) -> Recipe:
        """Read a recipe; keys that it does not know are an error that names them."""
        return _fill(cls, read_toml(path), path.name)


MAY_BE_ZERO = {
    "seed",
    "close_ups",
    "workers",
    "kl_weight",
    "latent_noise",
    "caption_dropout",
    "grouping_weight",
    "agreement_weight",
    "grouping_words_from",
    "ema_decay",
    "min_snr_gamma",
    "alignment_weight",
    "coarse_samples",
    "middle_share",
    "samples",  # of the teacher; a network's are at least a batch
}


def _fill(kind: Any, table: dict[str, Any], where: str) -> Any:
    known = {f.name: f for f in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise UserError(f"{where}: unknown key '{key}'; known: {', '.join(known)}")
        default = getattr(kind(), key)
        if hasattr(default, "__dataclass_fields__"):
            if not isinstance(value, dict):
                raise UserError(f"{where}: {key} = {value!r} should be a table, [{key}]")
            values[key] = _fill(type(default), value, f"{where} [{key}]")
        elif isinstance(default, tuple):
            if not (isinstance(value, list) and len(value) == len(default) and all(type(v) is int and v > 0 for v in value)):
                raise UserError(f"{where}: {key} = {value!r} should be a list of {len(default)} whole numbers above 0")
            values[key] = tuple(value)
        elif isinstance(default, float) and isinstance(value, int):
            values[key] = float(value)
        elif type(value) is not type(default):
            raise UserError(f"{where}: {key} = {value!r} should be of type {type(default).__name__}")
        else:
            values[key] = value
        number = values[key]
        if isinstance(number, int | float) and not isinstance(number, bool) and (number < 0 or (number == 0 and key not in MAY_BE_ZERO)):
            raise UserError(f"{where}: {key} = {value!r} should be above 0")
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_channels(channels: tuple[int, ...], groups: int) -> None:
    for count in channels:
        if count % groups:
            raise UserError(f"channels = {list(channels)} must be multiples of {groups}, the groups of the norms; {count} is not")
