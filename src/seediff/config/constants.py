"""`CaptureConfig`, `MaskConfig` and `SegmentConfig`: every constant of the methods. The defaults are the papers' (`preset="paper"`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from ..errors import UserError
from ..models.groups import Layers, normal_layers
from .methods import SEGMENT_FACTS, Method, SegmentFacts, SegmentMethodName

CaptureSteps = int | Literal["all", "second-half"]
"""Denoising steps whose attention counts; a number k: every k-th."""


@dataclass(frozen=True)
class CaptureConfig:
    """Which attention is averaged. Sides are those of the model; `levels` are divisors of the latent side."""

    normalize: bool = True
    """Divide each map by its maximum before averaging.

    Each layer's and step's (eq. 5); False: plain means."""
    steps: CaptureSteps = "all"
    """Denoising steps whose attention counts: all, second-half, or a number k for every k-th."""
    layers: Layers = "all"
    """Which layers count: all; up or down, a side of a UNet; or blocks of a transformer, such as 9-12 or 0,3,8-11.

    A UNet's middle belongs to both sides. Blocks are numbered from 0 in the order in which they run."""
    text_share: Literal["row", "text"] | None = None
    """In joint attention (as in FLUX), a word's share of the whole row (picture and text together) or of the text alone; None: row.

    How much a position attends to a word. Other models have no choice."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", normal_layers(self.layers))  # one choice has one spelling
        if self.text_share not in (None, "row", "text"):
            raise UserError(f"text_share = {self.text_share!r} must be 'row' or 'text'")
        if self.steps not in ("all", "second-half") and not _is_whole(self.steps):
            raise UserError(f"steps = {self.steps!r} must be 'all', 'second-half' or a whole number k for every k-th")
        if isinstance(self.steps, int) and self.steps < 1:
            raise UserError(f"steps = {self.steps}: every k-th step needs k ≥ 1")


@dataclass(frozen=True)
class MaskConfig:
    """How a mask is made from attention. Ablations are switches: CAA is expansion="none", CRE "parallel", IRE "iterative"
    without background, SeeDiff "iterative" with background."""

    method: Method = "seediff"
    """How masks are made from attention."""
    alpha: float = 0.5
    """Positions at which the map is at least this are seeds (eq. 6, 9)."""
    beta: float | Literal["otsu"] = 0.3
    """Threshold of the soft mask; otsu: each image's own."""
    expansion: Literal["none", "parallel", "iterative"] = "iterative"
    """How seeds grow by self-attention (eq. 7–9)."""
    background: bool = True
    """Expand the background's seeds too, and take the result off the mask (eq. 10–11)."""
    seed_level: int = 4
    """Seeds come from cross-attention whose side is the latent's, divided by this."""
    expand_levels: tuple[int, ...] = (4, 2, 1)
    """Sides of the expansion, as divisors of the latent side, from coarse to fine."""
    tau: int = 4
    """ca_sa: power of the self-attention."""
    self_level: int = 2
    """ca_sa: the side of the self-attention is the latent's, divided by this.

    Its cross-attention is at L / seed_level."""
    ignore_band: tuple[float, float] | None = None
    """Soft values from LOW to HIGH become 255 (ignored), for example 0.5,0.6; replaces --beta.

    Those in [low, high); values from high on are the class. 0.5, 0.6 are Dataset Diffusion's."""
    pamr: bool = True
    """Fit masks to the image's edges (PAMR)."""
    pamr_iterations: int = 10
    """How often PAMR is repeated."""
    pamr_dilations: tuple[int, ...] | None = None
    """Distances in pixels of PAMR's neighbours, for example 1,2,4,8; None: scaled with the image.

    The paper's 1 2 4 8 12 24 at 512², scaled with the image's side (each at least 1, repeats dropped)."""

    def __post_init__(self) -> None:
        _check_choice(self, "method")
        _check_choice(self, "expansion")
        if not 0 < self.alpha <= 1:
            raise UserError(f"alpha = {self.alpha} must be in (0, 1]")
        if self.beta != "otsu" and (isinstance(self.beta, str) or not 0 < self.beta < 1):
            raise UserError(f"beta = {self.beta} must be in (0, 1), or 'otsu'")
        for name in ("tau", "seed_level", "self_level"):
            if not _is_whole(value := getattr(self, name)) or value < 1:
                raise UserError(f"{name} = {value} must be a whole number of at least 1")
        if not all(_is_whole(level) and level >= 1 for level in self.expand_levels):
            raise UserError(f"expand_levels = {self.expand_levels} must be whole numbers of at least 1, like (4, 2, 1)")
        if not self.expand_levels or list(self.expand_levels) != sorted(set(self.expand_levels), reverse=True):
            raise UserError(f"expand_levels = {self.expand_levels} must go from coarse to fine without repeats, like (4, 2, 1)")
        if self.ignore_band and not 0 < self.ignore_band[0] <= self.ignore_band[1] < 1:
            raise UserError(f"ignore_band = {self.ignore_band} must be (low, high) with 0 < low ≤ high < 1")
        if self.pamr_iterations < 1 or any(d < 1 for d in self.pamr_dilations or ()):
            raise UserError("pamr_iterations and pamr_dilations must be at least 1")


@dataclass(frozen=True)
class SegmentConfig:
    """How a photograph is divided into segments without any class. The defaults are DiffSeg's for COCO-Stuff."""

    method: SegmentMethodName = "diffseg"
    """How segments are found."""
    timestep: int | None = None
    """Timestep passed to the UNet; None: 300; DiffCut 50.

    The latent itself is free of noise."""
    weights: Literal["proportional", "uniform"] | tuple[float, ...] = "proportional"
    """Weights of the resolutions: proportional, uniform, or numbers for L,L/2,L/4,L/8, for example 1,0,0,0.

    In the aggregated self-attention; proportional to their side."""
    num_points: int = 16
    """DiffSeg: anchors along each side of their grid."""
    kl_threshold: float | tuple[float, ...] = 1.1
    """DiffSeg: maps closer than this merge; one number, or one per round with commas between.

    By symmetric KL divergence."""
    rounds: int = 3
    """DiffSeg: merging rounds.

    The first included, when kl_threshold is one number."""
    refine: bool = False
    """diffseg: K-Means begun at the segments; diffcut: fit them to edges (PAMR).

    K-Means over all positions; PAMR not with tiles."""
    k: int | Literal["truth"] | None = None
    """kmeans: how many segments, or `truth`: as many as in --labels.

    As the photograph's own label map has (K-Means-S)."""
    cut_threshold: float = 0.5
    """diffcut: divides while the cut costs less.

    The normalised cut."""
    cut_power: float = 10.0
    """diffcut: exponent of the similarity.

    The cosine similarity of features."""

    def __post_init__(self) -> None:
        _check_choice(self, "method")
        if self.timestep is not None and not (_is_whole(self.timestep) and 0 <= self.timestep < 1000):
            raise UserError(f"timestep = {self.timestep} must be a whole number from 0 to 999")
        if isinstance(self.weights, str):
            if self.weights not in ("proportional", "uniform"):
                raise UserError(f"weights = {self.weights!r} must be 'proportional', 'uniform' or numbers for L, L/2, L/4, L/8")
        elif not self.weights or min(self.weights) < 0 or not 0 < sum(self.weights) < float("inf"):
            raise UserError(f"weights = {self.weights} must be numbers of at least 0 for L, L/2, L/4, L/8, not all of them 0")
        for name in ("num_points", "rounds"):
            if not _is_whole(value := getattr(self, name)) or value < 1:
                raise UserError(f"{name} = {value} must be a whole number of at least 1")
        if not self.thresholds or not all(0 < t < float("inf") for t in self.thresholds):
            raise UserError(f"kl_threshold = {self.kl_threshold} must be above 0, one number or one a round")
        if "k" in self.facts.options and self.k is None:
            raise UserError(f"method {self.method} needs k: the number of segments (6 in the paper), or 'truth' with label maps")
        if self.k not in (None, "truth") and not (_is_whole(self.k) and self.k >= 1):  # type: ignore[operator]
            raise UserError(f"k = {self.k!r} must be a whole number of at least 1, or 'truth'")
        if self.k is not None and "k" not in self.facts.options:
            raise UserError(f"k = {self.k} is an option of method kmeans; {self.method} finds the number of segments itself")
        if not 0 < self.cut_threshold <= 2:
            raise UserError(f"cut_threshold = {self.cut_threshold} must be in (0, 2]")
        if not 0 < self.cut_power < float("inf"):
            raise UserError(f"cut_power = {self.cut_power} must be above 0")

    @property
    def facts(self) -> SegmentFacts:
        """What the method expects of the capture."""
        return SEGMENT_FACTS[self.method]

    @property
    def timestep_shown(self) -> int:
        """The noise level that is passed to the network."""
        return self.facts.timestep if self.timestep is None else self.timestep

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The threshold of every round."""
        return self.kl_threshold if isinstance(self.kl_threshold, tuple) else (self.kl_threshold,) * self.rounds


def _check_choice(config: Any, name: str) -> None:
    """Raise UserError when a field holds none of the texts that its type lists."""
    choices = get_args(get_type_hints(type(config))[name])
    if (value := getattr(config, name)) not in choices:
        raise UserError(f"{name} = {value!r} must be one of {', '.join(map(repr, choices))}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
