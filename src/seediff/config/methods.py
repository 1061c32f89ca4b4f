"""The mask and segment methods: what each method reads, and its constants. The mask methods' functions are in
masks/methods.py, the segment methods' in segments/make_segments.py.

The defaults are the SeeDiff paper's constants. A method with other published constants has them
in `MethodFacts.defaults`, so users need only its name (docs/methods.md). Constants tuned for a model take precedence
(`Preset` in models/describe.py).

An attention map at level d has the side L / d, where L is the side of the model's latent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from msgspec import Meta

from ..errors import UserError
from ..models.layers import Kind, LayerChoice, block_numbers
from .fields import MASKS, RESEARCH, WORD, AtLeastZero, Count, Positive, Several, Timestep, WholeNumber, check_fields
from .names_in_texts import check_prompts

Method = Literal["seediff", "ca", "ca_sa", "daam"]
"""The names of the package's own mask methods. `register_method` (masks/own_methods.py) adds others."""


@dataclass(frozen=True)
class LastSteps:
    """How a soft map becomes a mask of the image's size. The defaults are SeeDiff's steps 5 and 6. For a value of None,
    `MaskConfig` has the value: `pamr_iterations`, `pamr_dilations` or `beta`."""

    resize: Literal["bilinear", "bicubic"] = "bilinear"
    stretch: bool = False
    """Stretch maps to [0, 1] again after resizing."""
    cut: float | None = None
    """Threshold that makes a mask before PAMR refines it. None: PAMR refines the soft map."""
    bandwidth: Positive = 0.1
    """PAMR's bandwidth, in standard deviations of the image."""
    iterations: Count | None = None
    dilations: Several | None = None
    threshold: float | None = None
    """Threshold after PAMR."""


LevelOption = Literal["seed_level", "expand_levels", "self_level"]
"""A field of MaskConfig that sets levels of attention."""


@dataclass(frozen=True)
class Levels:
    """The levels at which a method reads cross- and self-attention: fixed levels, or the field of MaskConfig that sets
    them. None: the method does not read this kind."""

    cross: LevelOption | Several | None = None
    self: LevelOption | Several | None = None


@dataclass(frozen=True)
class MethodFacts:
    """What is known about a mask method besides its function."""

    levels: Levels | None = None
    """The levels that the method reads. None: unknown, so all levels are captured."""
    options: tuple[str, ...] = ()
    """The fields of MaskConfig that this method reads and some other methods do not read, without those in `levels`."""
    plain_means: bool = False
    """Whether the method needs plain means of attention, instead of means of maps divided by their maxima."""
    all_levels: bool = False
    """Whether the SeeDiff paper gives the method all levels (`resolve.ALL_LEVELS`)."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """The constants that differ from the defaults of MaskConfig and other configurations: flat name → value."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Model → the method's constants for it, in the form of `defaults`."""
    last_steps: LastSteps = LastSteps()
    user_function: Callable[..., Any] | None = None
    """The function of a user's own method (masks/own_methods.py); None for the package's methods."""

    @property
    def special_options(self) -> set[str]:
        """`options`, and the fields in `levels`."""
        read = (self.levels.cross, self.levels.self) if self.levels else ()
        return {*self.options, *(levels for levels in read if isinstance(levels, str))}


METHOD_FACTS: dict[str, MethodFacts] = {
    "seediff": MethodFacts(Levels("seed_level", "expand_levels"), ("alpha", "expansion", "background")),
    "ca": MethodFacts(Levels("expand_levels"), all_levels=True, last_steps=LastSteps(stretch=True)),
    "ca_sa": MethodFacts(Levels("seed_level", "self_level"), ("tau",)),
    # DAAM sums plain probabilities, and its best published threshold is 0.4.
    "daam": MethodFacts(
        Levels("expand_levels"),
        plain_means=True,
        all_levels=True,
        defaults={"mask.beta": 0.4, "capture.normalize": False},
        last_steps=LastSteps(resize="bicubic", stretch=True),
    ),
}


def own_methods() -> dict[str, MethodFacts]:
    """Name → facts, of the methods that users registered. Other processes of a run must register them, too."""
    return {name: facts for name, facts in METHOD_FACTS.items() if facts.user_function is not None}


SegmentMethodName = Literal["diffseg", "kmeans", "diffcut"]
SEGMENT_OPTIONS: dict[SegmentMethodName, tuple[str, ...]] = {
    "diffseg": ("kl_threshold", "rounds", "num_points", "weights", "refine"),
    "kmeans": ("k", "weights"),
    "diffcut": ("cut_threshold", "cut_power"),
}
"""Segment method → the fields of SegmentConfig that this method reads and some other methods do not read."""


def methods_with(option: str) -> tuple[str, ...]:
    """The package's methods that read an option, if others do not read it; empty for an option without a method.
    option: a flat name, such as `mask.tau`."""
    table, _, name = option.partition(".")
    packaged = {method: facts.special_options for method, facts in METHOD_FACTS.items() if facts.user_function is None}
    read_by: Mapping[str, Collection[str]] = {"mask": packaged, "segment": SEGMENT_OPTIONS}.get(table, {})
    return tuple(method for method, options in read_by.items() if name in options)


def check_capture(method: str, normalized: bool, fix: str = "leave it out for the method's own") -> None:
    """Raise UserError if a method needs plain means of attention, and the maps are others. method: its name.
    normalized: whether the maps were divided by their maxima. fix: what the message advises."""
    if METHOD_FACTS[method].plain_means and normalized:
        raise UserError("capture.normalize", f"true: method {method} works on plain means of attention", fix)


CaptureSteps = Annotated[Literal["all", "second-half"] | Count, WORD]
"""Which denoising steps are captured; a number k stands for every k-th step."""
OF_RESEARCH = Parameter(group=RESEARCH)


@Parameter(group=RESEARCH)
@dataclass(frozen=True)
class CaptureConfig:
    """Which attention is captured, and how it is averaged."""

    normalize: Annotated[bool, Parameter(name="--capture-normalize", negative="--no-capture-normalize")] = True
    """Divide the map of each layer and step by its maximum before averaging (eq. 5), instead of plain means."""
    steps: Annotated[CaptureSteps, Parameter(name="--capture-steps")] = "all"
    """Denoising steps (for photographs: timesteps) to capture: all, second-half, or a number k for every k-th."""
    layers: Annotated[LayerChoice, Parameter(name="--capture-layers")] = "all"
    """Layers to capture: all; up or down for one side of a UNet (its middle belongs to both); last for the last layer
    of each block on its way up; or blocks of a transformer, such as 9-12 or 0,3,8-11. all/last: all of cross-attention,
    the last of self-attention."""
    mean: Annotated[Literal["arithmetic", "geometric"], Parameter(name="--capture-mean")] = "arithmetic"
    """Mean over layers of cross-attention: arithmetic, or geometric, which is high only where all layers are."""
    prompt: Annotated[str | None, Parameter(name="--capture-prompt")] = None
    """UNets: template with `{class}` whose words' cross-attention is captured, as in OVAM and FA-Seg. The model does
    not read it, so images stay the same."""
    flip: Annotated[bool, Parameter(name="--capture-flip")] = False
    """Photographs: also use the mirrored photograph, and average both."""
    text_share: Literal["row", "text"] | None = None
    """In joint attention (as in FLUX): a word's share of the whole row (the default), or of the text alone."""

    def __post_init__(self) -> None:
        check_fields(self)
        for group in self.layers.split("/", 1):
            block_numbers(group)
        if self.prompt is not None:
            check_prompts((self.prompt,), "prompt")


METHOD_HELP = (
    f"Method that makes masks from attention: {', '.join(METHOD_FACTS)};"
    " FILE.py:FUNCTION: your own (the file is executed)."
)


@Parameter(group=MASKS)
@dataclass(frozen=True)
class MaskConfig:
    """Constants for making a mask from attention. Ablations: CAA is expansion="none", CRE "parallel", IRE "iterative"
    without background."""

    method: Annotated[str, Parameter(help=METHOD_HELP)] = "seediff"
    """A name in `METHOD_FACTS`, also of `register_method`."""
    alpha: Annotated[float, Meta(gt=0, le=1), OF_RESEARCH] = 0.5
    """Seed threshold: positions where the map reaches this value are seeds (eq. 6, 9)."""
    beta: Annotated[Annotated[float, Meta(gt=0, lt=1)] | Literal["otsu"], WORD] = 0.3
    """Threshold for the soft mask; otsu computes it for each image."""
    expansion: Annotated[Literal["none", "parallel", "iterative"], OF_RESEARCH] = "iterative"
    """How seeds expand along self-attention (eq. 7–9)."""
    background: Annotated[bool, OF_RESEARCH] = True
    """Also expand background seeds, and subtract the result from the mask (eq. 10–11)."""
    seed_level: Annotated[Count, OF_RESEARCH] = 4
    """Level of the seeds' cross-attention: the latent's side divided by this."""
    expand_levels: Annotated[Several, OF_RESEARCH] = (4, 2, 1)
    """Levels of the expansion, as divisors of the latent's side, from coarse to fine."""
    tau: Annotated[Count, OF_RESEARCH] = 4
    """Exponent of the self-attention."""
    self_level: Annotated[Count, OF_RESEARCH] = 2
    """Level of the self-attention."""
    ignore_band: Annotated[tuple[float, float] | None, WORD] = None
    """LOW,HIGH, such as 0.5,0.6: soft values in between become 255 (ignored), higher ones the class. Replaces beta."""
    compete: Annotated[bool, OF_RESEARCH] = False
    """Resolve overlaps between classes by z-score instead of by raw value."""
    pamr: bool = True
    """Align masks with the image's edges (PAMR)."""
    pamr_iterations: Annotated[Count, OF_RESEARCH] = 10
    """Number of PAMR iterations."""
    pamr_dilations: Annotated[Several | None, OF_RESEARCH] = None
    """Distances of PAMR's neighbours in pixels; by default the paper's 1,2,4,8,12,24 at 512², scaled with the image."""
    sam: str | None = None
    """Folder or hub id of a SAM or SAM 2 model (transformers format) that redraws the outlines where it agrees."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.method not in METHOD_FACTS:
            fix = f"known: {', '.join(METHOD_FACTS)}; or a file's, FILE.py:FUNCTION, as in recipes/methods"
            if ".py:" in self.method:
                fix = "a file is executed only if unchanged and named on the command line (--method FILE.py:FUNCTION)"
            raise UserError("method", f"'{self.method}' is not known", fix)
        if list(self.expand_levels) != sorted(set(self.expand_levels), reverse=True):
            raise UserError("expand_levels", f"{self.expand_levels} must go from coarse to fine, like (4, 2, 1)")
        if self.ignore_band and not 0 < self.ignore_band[0] <= self.ignore_band[1] < 1:
            raise UserError("ignore_band", f"{self.ignore_band} must be (low, high) with 0 < low ≤ high < 1")

    @property
    def facts(self) -> MethodFacts:
        """What is known about the method."""
        return METHOD_FACTS[self.method]

    @property
    def sam_weights(self) -> str | None:
        """The file of SAM's weights, as a path or `owner/name/FILE` on the hub; None without SAM."""
        return None if self.sam is None else f"{self.sam}/model.safetensors"


@Parameter(group=MASKS)
@dataclass(frozen=True)
class SegmentConfig:
    """Constants for dividing a photograph into segments. The defaults are DiffSeg's for COCO-Stuff."""

    method: SegmentMethodName = "diffseg"
    """Method that finds segments."""
    timestep: Timestep | None = None
    """Timestep passed to the UNet, with a latent without noise; by default 300, for diffcut 50."""
    weights: Annotated[Literal["proportional", "uniform"] | tuple[AtLeastZero, ...], WORD] = "proportional"
    """Weights of the resolutions of self-attention: proportional (to each map's side), uniform, or numbers for
    L,L/2,L/4,L/8, for example 1,0,0,0."""
    num_points: Count = 16
    """Number of anchors along each side of the grid."""
    kl_threshold: Annotated[Positive | tuple[Positive, ...], WORD] = 1.1
    """Maps with a symmetric KL divergence below this merge. One number, or one per round with commas."""
    rounds: Count = 3
    """Number of merging rounds, including the first, if kl_threshold is one number."""
    refine: bool = False
    """Refine the segments with K-Means."""
    k: Annotated[Count | Literal["truth"] | None, WORD, Parameter(name=("-k", "--k"), show_choices=False)] = None
    """Number of segments."""
    cut_threshold: Annotated[float, Meta(gt=0, le=2)] = 0.5
    """Maximum cost of a normalised cut."""
    cut_power: Positive = 10.0
    """Exponent of the cosine similarity."""
    edge_rounds: WholeNumber = 20
    """Rounds of PAMR that move the segments to the image's edges; 0: none, as in the papers of diffseg and kmeans."""
    edge_dilations: Several = (4, 8, 16, 32, 64)
    """Distances of the neighbours that PAMR compares, in pixels of an image whose shorter side has 512."""
    edge_megapixels: Positive = 0.25
    """Larger images are reduced to this for PAMR: its time grows with pixels and segments."""

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.weights, tuple) and not sum(self.weights):
            raise UserError("weights", f"{self.weights} must be numbers for L, L/2, L/4, L/8, not all of them 0")
        if not self.thresholds:
            raise UserError("kl_threshold", "() must be numbers above 0, one, or one per round")
        if self.method == "kmeans" and self.k is None:
            raise UserError("method", "kmeans: needs k, the number of segments (6 in the paper)")
        if self.method != "kmeans" and self.k is not None:
            problem = f"{self.k}: {self.method} finds the number of segments itself"
            raise UserError("k", problem, "add method kmeans, or leave it out")

    @property
    def divides_features(self) -> bool:
        """Whether the method divides the encoder's features instead of self-attention."""
        return self.method == "diffcut"

    def known_k(self) -> int | None:
        """The number of segments that K-Means makes; None for other methods. Raises UserError for `truth` (K-Means-S):
        the number of classes in a picture's label map, which only a study with labels knows."""
        if self.k == "truth":
            raise UserError("k", "truth: is for studies of labelled images", "give a number")
        return self.k

    @property
    def timestep_shown(self) -> int:
        """The timestep that is passed to the network."""
        if self.timestep is not None:
            return self.timestep
        return 50 if self.divides_features else 300

    @property
    def thresholds(self) -> tuple[float, ...]:
        """DiffSeg's threshold for each merging round."""
        return self.kl_threshold if isinstance(self.kl_threshold, tuple) else (self.kl_threshold,) * self.rounds


@dataclass(frozen=True, kw_only=True)
class MethodConstants:
    """A mask method's constants, and the capture with which they were tuned."""

    mask: MaskConfig = field(default_factory=MaskConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)


Reads = Mapping[Kind, Collection[int] | None]
"""Kind of attention to capture → the levels to capture; None: all levels."""
EVERYTHING: Reads = {"self": None, "cross": None}


def maps_read(mask: MaskConfig) -> Reads:
    """Kind of attention → the levels that a method reads with its constants `mask`, and that must be captured."""
    if mask.facts.levels is None:
        return EVERYTHING
    return {kind: levels_of(mask, option) for kind, option in level_options(mask).items()}


def level_options(mask: MaskConfig) -> dict[Kind, LevelOption | tuple[int, ...]]:
    """Kind of attention → the field of `mask` that sets the levels which the method reads, or fixed levels. Kinds that
    the method does not read are missing; so are all kinds if its levels are unknown.

    The fields are those in `MethodFacts.levels`, except for methods with an expansion:

        expansion  background  cross          self
        iterative  either      seed_level     expand_levels
        parallel   either      expand_levels  expand_levels
        none       True        expand_levels  expand_levels
        none       False       expand_levels  not read
    """
    levels = mask.facts.levels or Levels()
    options: dict[Kind, LevelOption | tuple[int, ...] | None] = {"cross": levels.cross, "self": levels.self}
    if "expansion" in mask.facts.options and mask.expansion != "iterative":
        options["cross"] = "expand_levels"  # each level has its own seeds, or nothing is expanded
        if mask.expansion == "none" and not mask.background:
            options["self"] = None
    return {kind: option for kind, option in options.items() if option is not None}


def levels_of(mask: MaskConfig, option: LevelOption | tuple[int, ...]) -> tuple[int, ...]:
    """The levels that `option` stands for. mask: the method's constants. option: fixed levels, or the field of `mask`
    that has the levels, such as `seed_level`."""
    value = getattr(mask, option) if isinstance(option, str) else option
    return value if isinstance(value, tuple) else (value,)


def level_name(divisor: int) -> str:
    """The name of a level: 1 → `L`, 4 → `L/4`."""
    return "L" if divisor == 1 else f"L/{divisor}"
