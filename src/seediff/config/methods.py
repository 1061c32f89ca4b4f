"""The mask and segment methods: what each reads, its constants, and its function.

The dataclasses' defaults are the paper's constants. A method that was published with other constants sets them, so that
its name is enough (docs/methods.md). A model's own constants for the method (presets.py) take precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import UserError

Method = Literal[
    "seediff", "ca", "ca_sa", "reference", "fa_seg", "diffsegmenter", "iseg_walk", "nerve_walk", "daam", "best",
]  # fmt: skip
"""Values of `MaskConfig.method`, beside those of `register_method` (masks/own.py)."""
BEST: Method = "best"
"""Stands for the method and constants measured as best for the model, from its preset or `BEST_FACTS`."""


@dataclass(frozen=True)
class Finish:
    """How a soft map becomes a mask of the image's size. The defaults are SeeDiff's steps 5 and 6. For iterations,
    dilations and threshold, None means the value in `MaskConfig`."""

    resize: Literal["bilinear", "bicubic"] = "bilinear"
    stretch: bool = False
    """Stretch maps to [0, 1] again after resizing."""
    cut: float | None = None
    """Threshold before PAMR; None: PAMR refines the soft map."""
    bandwidth: float = 0.1
    """PAMR's bandwidth, in standard deviations of the image."""
    iterations: int | None = None
    dilations: tuple[int, ...] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class MethodFacts:
    """A mask method.

    function: `module.name` in `seediff.masks` of the function that makes a soft mask; a text, because `masks` imports
    this module. cross_levels, self_levels: the
    option of MaskConfig that sets the levels of this attention, or the levels themselves; None: it does not read it.
    options: the other fields of MaskConfig that not every method reads. plain_means: whether it needs plain means of
    attention. defaults: constants that differ from the dataclasses'. own: the function of a method of one's own
    (masks/own.py), which reads maps of all levels."""

    function: str
    cross_levels: str | tuple[int, ...]
    self_levels: str | tuple[int, ...] | None
    options: tuple[str, ...] = ()
    plain_means: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    finish: Finish = Finish()
    own: Callable[..., Any] | None = None

    @property
    def own_options(self) -> set[str]:
        """The fields of MaskConfig that not every method reads."""
        return {*self.options, *(levels for levels in (self.cross_levels, self.self_levels) if isinstance(levels, str))}


METHOD_FACTS: dict[str, MethodFacts] = {
    "seediff": MethodFacts("seediff.seediff", "seed_level", "expand_levels", ("alpha", "expansion", "background")),
    "ca": MethodFacts("baselines.cross_attention", "expand_levels", None, finish=Finish(stretch=True)),
    "ca_sa": MethodFacts("baselines.cross_times_self", "seed_level", "self_level", ("tau",)),
    "reference": MethodFacts(
        "reference.reference",
        "seed_level",
        "expand_levels",
        plain_means=True,
        defaults={"guidance_scale": 7.0, "capture": {"normalize": False, "steps": "all", "layers": "up"}},
        # PAMR's iterations are described as "many"; 50 is this project's choice.
        finish=Finish(resize="bicubic", cut=0.5, bandwidth=0.2, iterations=50, dilations=(1,), threshold=0.8),
    ),
    # FA-Seg's threshold for PASCAL VOC.
    "fa_seg": MethodFacts(
        "walks.fa_seg", (8, 4, 2, 1), (8, 4, 2, 1), defaults={"mask": {"beta": 0.55}}, finish=Finish(resize="bicubic")
    ),
    "diffsegmenter": MethodFacts(
        "walks.diffsegmenter", (8, 4, 2, 1), "self_level", defaults={"mask": {"self_level": 1}}
    ),
    # iSeg uses 8 rounds for PASCAL VOC. Its background score is (1 − m)², with m the maximum over classes: below m from
    # m = 0.382 on.
    "iseg_walk": MethodFacts(
        "walks.entropy_walk",
        (8, 4, 2, 1),
        "self_level",
        ("tau",),
        defaults={"mask": {"self_level": 1, "tau": 8, "beta": 0.382}},
    ),
    "nerve_walk": MethodFacts(
        "walks.restart_walk", "seed_level", "self_level", ("tau",), defaults={"mask": {"tau": 5}}
    ),
    # DAAM sums plain probabilities, and its best published threshold is 0.4.
    "daam": MethodFacts(
        "baselines.daam",
        "expand_levels",
        None,
        plain_means=True,
        defaults={"mask": {"beta": 0.4}, "capture": {"normalize": False}},
        finish=Finish(resize="bicubic", stretch=True),
    ),
}


def own_methods() -> dict[str, MethodFacts]:
    """The methods of one's own that are registered, for other processes of the same run."""
    return {name: facts for name, facts in METHOD_FACTS.items() if facts.own is not None}


BEST_FACTS: dict[str, Mapping[str, Mapping[str, Any]]] = {
    "unet": {
        "mask": {"method": "ca_sa", "tau": 1, "compete": True, "pamr_iterations": 20},
        "capture": {"normalize": False, "mean": "geometric", "layers": "up/last"},
    },
    "transformer": {
        "mask": {"method": "ca_sa", "tau": 2, "beta": 0.45, "compete": True, "pamr_iterations": 20},
        "capture": {"normalize": False, "mean": "geometric"},
    },
}
"""Kind of network (`Family.network`) → the constants that method `best` stands for if the model's preset has none,
tuned for BEST_MODELS, without those that depend on their size."""
BEST_MODELS = {"unet": "mini", "transformer": "mini-dit"}
"""Kind of network → the model for which BEST_FACTS were tuned; mini with its weights before decision 0026."""


SegmentMethodName = Literal["diffseg", "kmeans", "diffcut"]
SEGMENT_OPTIONS: dict[SegmentMethodName, tuple[str, ...]] = {
    "diffseg": ("kl_threshold", "rounds", "num_points", "weights", "refine"),
    "kmeans": ("k", "weights"),
    "diffcut": ("cut_threshold", "cut_power", "refine"),
}
"""Segment method → the fields of SegmentConfig that it reads."""


def check_capture(method: str, normalized: bool, fix: str = "leave it out for the method's own") -> None:
    """Raise UserError if a method cannot use maps that were divided by their maxima."""
    if METHOD_FACTS[method].plain_means and normalized:
        raise UserError("capture.normalize", f"true: method {method} works on plain means of attention", fix)
