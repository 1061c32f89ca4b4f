"""`CaptureConfig`, `MaskConfig` and `SegmentConfig`: every constant of the methods. The defaults are the papers' (`preset="paper"`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..errors import UserError
from ..models.groups import Layers, normal_layers
from .fields import AtLeastZero, Count, Positive, Timestep, check_fields, misfit
from .methods import SEGMENT_FACTS, Method, SegmentFacts, SegmentMethodName

CaptureSteps = Literal["all", "second-half"] | Count
"""Denoising steps whose attention counts; a number k: every k-th."""


def check_capture_steps(value: Any) -> None:
    """Raise UserError for what is not `CaptureSteps`."""
    if wanted := misfit(value, CaptureSteps):
        raise UserError(f"capture_steps = {value!r} must be {wanted}")


@dataclass(frozen=True)
class CaptureConfig:
    """Which attention is averaged. Sides are those of the model; `levels` are divisors of the latent side."""

    normalize: bool = True
    """Divide each map by its maximum before averaging.

    Each layer's and step's (eq. 5); False: plain means."""
    steps: CaptureSteps = "all"
    """Denoising steps whose attention counts: all, second-half, or a number k for every k-th."""
    layers: Layers = "all"
    """Which layers count: all; up or down, a side of a UNet; last, of each of its blocks on the way up; or blocks of a transformer, such as
    9-12 or 0,3,8-11.

    A UNet's middle belongs to all of these. Blocks are numbered from 0 in the order in which they run."""
    text_share: Literal["row", "text"] | None = None
    """In joint attention (as in FLUX), a word's share of the whole row (picture and text together) or of the text alone; None: row.

    How much a position attends to a word. Other models have no choice."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", normal_layers(self.layers))  # one choice has one spelling
        check_fields(self)


@dataclass(frozen=True)
class MaskConfig:
    """How a mask is made from attention. Ablations are switches: CAA is expansion="none", CRE "parallel", IRE "iterative"
    without background, SeeDiff "iterative" with background."""

    method: Method = "seediff"
    """How masks are made from attention."""
    alpha: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Positions at which the map is at least this are seeds (eq. 6, 9)."""
    beta: Annotated[float, Meta(gt=0, lt=1)] | Literal["otsu"] = 0.3
    """Threshold of the soft mask; otsu: each image's own."""
    expansion: Literal["none", "parallel", "iterative"] = "iterative"
    """How seeds grow by self-attention (eq. 7–9)."""
    background: bool = True
    """Expand the background's seeds too, and take the result off the mask (eq. 10–11)."""
    seed_level: Count = 4
    """Seeds come from cross-attention whose side is the latent's, divided by this."""
    expand_levels: tuple[Count, ...] = (4, 2, 1)
    """Sides of the expansion, as divisors of the latent side, from coarse to fine."""
    tau: Count = 4
    """ca_sa: power of the self-attention; iseg_walk, nerve_walk: rounds."""
    self_level: Count = 2
    """ca_sa, diffsegmenter, iseg_walk, nerve_walk: the side of the self-attention is the latent's, divided by this.

    Cross-attention of ca_sa and nerve_walk is at L / seed_level."""
    ignore_band: tuple[float, float] | None = None
    """Soft values from LOW to HIGH become 255 (ignored), for example 0.5,0.6; replaces --beta.

    Those in [low, high); values from high on are the class. 0.5, 0.6 are Dataset Diffusion's."""
    pamr: bool = True
    """Fit masks to the image's edges (PAMR)."""
    pamr_iterations: Count = 10
    """How often PAMR is repeated."""
    pamr_dilations: tuple[Count, ...] | None = None
    """Distances in pixels of PAMR's neighbours, for example 1,2,4,8; None: scaled with the image.

    The paper's 1 2 4 8 12 24 at 512², scaled with the image's side (each at least 1, repeats dropped)."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.expand_levels or list(self.expand_levels) != sorted(set(self.expand_levels), reverse=True):
            raise UserError(f"expand_levels = {self.expand_levels} must go from coarse to fine without repeats, like (4, 2, 1)")
        if self.ignore_band and not 0 < self.ignore_band[0] <= self.ignore_band[1] < 1:
            raise UserError(f"ignore_band = {self.ignore_band} must be (low, high) with 0 < low ≤ high < 1")


@dataclass(frozen=True)
class SegmentConfig:
    """How a photograph is divided into segments without any class. The defaults are DiffSeg's for COCO-Stuff."""

    method: SegmentMethodName = "diffseg"
    """How segments are found."""
    timestep: Timestep | None = None
    """Timestep passed to the UNet; None: 300; DiffCut 50.

    The latent itself is free of noise."""
    weights: Literal["proportional", "uniform"] | tuple[AtLeastZero, ...] = "proportional"
    """Weights of the resolutions: proportional, uniform, or numbers for L,L/2,L/4,L/8, for example 1,0,0,0.

    In the aggregated self-attention; proportional to their side."""
    num_points: Count = 16
    """DiffSeg: anchors along each side of their grid."""
    kl_threshold: Positive | tuple[Positive, ...] = 1.1
    """DiffSeg: maps closer than this merge; one number, or one per round with commas between.

    By symmetric KL divergence."""
    rounds: Count = 3
    """DiffSeg: merging rounds.

    The first included, when kl_threshold is one number."""
    refine: bool = False
    """diffseg: K-Means begun at the segments; diffcut: fit them to edges (PAMR).

    K-Means over all positions; PAMR not with tiles."""
    k: Count | Literal["truth"] | None = None
    """kmeans: how many segments, or `truth`: as many as in --labels.

    As the photograph's own label map has (K-Means-S)."""
    cut_threshold: Annotated[float, Meta(gt=0, le=2)] = 0.5
    """diffcut: divides while the cut costs less.

    The normalised cut."""
    cut_power: Positive = 10.0
    """diffcut: exponent of the similarity.

    The cosine similarity of features."""

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.weights, tuple) and not sum(self.weights):
            raise UserError(f"weights = {self.weights} must be numbers of at least 0 for L, L/2, L/4, L/8, not all of them 0")
        if not self.thresholds:
            raise UserError("kl_threshold = () must be above 0, one number or one per round")
        if "k" in self.facts.options and self.k is None:
            raise UserError(f"method {self.method} needs k: the number of segments (6 in the paper), or 'truth' with label maps")
        if self.k is not None and "k" not in self.facts.options:
            raise UserError(f"k = {self.k} is an option of method kmeans; {self.method} finds the number of segments itself")

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
