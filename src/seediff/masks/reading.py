"""A reading: masks from a weighted sum of a model's attention layers, with weights learnt from pictures with correct masks.

With x_l the class's map of layer l, m_l the maximum of the other classes' maps of this layer, and learnt weights w, v and b:

    soft(s) = σ(b + Σ_l w_l · x_l(s) + v_l · m_l(s))

Position s belongs to the class if this is at least ½. A map is that of a cross-attention layer, or the mean of all cross-attention layers
after one or two steps of a random walk over a self-attention layer; each is scaled to [0, 1] by min-max, at the finest side. Layers have
weights and classes do not, so a reading also works for classes that were not in its training pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..errors import UserError
from ..files.messages import shown
from ..files.outputs import write_tensors
from ..files.tensors import read_header
from ..models.families.base import Family, Joint
from .arithmetic import min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

Name = Annotated[str, Meta(pattern=r"^(cross|walk1|walk2)\.[A-Za-z_][A-Za-z0-9_.]{0,200}$")]
WHAT = "a reading"
RIDGE = 1e-3
"""Factor of the sum of squared weights, which is added to the mean cross-entropy in the loss."""
ROUNDS = 50


@dataclass(frozen=True)
class About:
    """The header of a reading's file. maps: names of the F maps. model: the model that it was learnt for. note: its training pictures and
    gain."""

    maps: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=4096)]
    model: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if len(set(self.maps)) < len(self.maps):
            raise UserError("maps: a name is there twice")
        if not any(name.startswith("cross.") for name in self.maps):
            raise UserError("maps: no cross-attention is among them")


@dataclass(frozen=True)
class Reading:
    """weights: (2, F) float32, w for the class's maps and v for the maxima of the other classes' maps. bias: b, such that the threshold is
    ½."""

    about: About
    weights: torch.Tensor
    bias: float

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        about = {"maps": self.about.maps, "model": self.about.model, "note": self.about.note}
        tensors = {"weights": self.weights.contiguous(), "bias": torch.tensor([self.bias])}
        write_tensors(path, tensors, {"reading": json.dumps(about)})

    @classmethod
    def load(cls, path: Path | str) -> Reading:
        """Read a file from `save`. Raises UserError naming the file if it is anything else."""
        file = read_header(path)
        about = file.about("reading", About, WHAT)
        file.check("weights", ("F32",), (2, len(about.maps)), WHAT)
        file.check("bias", ("F32",), (1,), WHAT)
        tensors = file.load("pt", ("weights", "bias"))
        for name, values in tensors.items():
            if not bool(torch.isfinite(values).all()):
                raise UserError(path, f"tensor '{name}' holds values that are not finite")
        return cls(about, tensors["weights"], float(tensors["bias"]))

    def check_layers(self, there: Iterable[tuple[str, str]], path: str) -> None:
        """Raise UserError if the reading weighs a layer that a network or a capture lacks. there: (self or cross, layer) of each."""
        held = {name for kind, layer in there for name in ([f"cross.{layer}"] if kind == "cross" else [f"walk1.{layer}", f"walk2.{layer}"])}
        if missing := [name for name in self.about.maps if name not in held]:
            raise UserError(
                f"reading = {path}",
                f"it weighs {missing[0]}, and there is no such attention here",
                f"it was learnt for model {shown(self.about.model)}, from all layers apart (capture.apart = true)",
            )

    def logits(self, maps: torch.Tensor) -> torch.Tensor:
        """The argument of σ, (C, h, w), for the maps (C, 2F, h, w) from `with_others`."""
        weights = self.weights.to(maps).flatten()[:, None, None]
        return torch.stack([(weights * of_class).sum(0) for of_class in maps]) + self.bias


def layer_maps(maps: AttentionMaps, class_name: str, names: Sequence[str] | None = None) -> dict[str, torch.Tensor]:
    """Name → map (h, w) in [0, 1] for one class: all maps, or those in `names`. Random walks start from the mean of the cross-attention
    maps among them. Raises UserError for a class that is not in the prompt, and if layers were not kept apart."""
    columns = list(maps.columns(class_name))
    side = max((*maps.cross_layers, *maps.self_layers), default=None)
    if side is None:
        raise UserError("a reading weighs layers, but they were not kept apart: capture them with capture.apart = true")
    cross = {
        f"cross.{layer}": resize(tensor[:, columns].mean(1).reshape(1, *grid), side)[0]
        for grid, by_layer in maps.cross_layers.items()
        for layer, tensor in by_layer.items()
        if names is None or f"cross.{layer}" in names
    }
    start = torch.stack([cross[name] for name in sorted(cross)]).mean(0)  # sorted, because maps from a file may have another order
    walked: dict[str, torch.Tensor] = {}
    for grid, by_layer in maps.self_layers.items():
        for layer, tensor in by_layer.items():
            if names is None or f"walk1.{layer}" in names or f"walk2.{layer}" in names:
                at = resize(start[None], grid)[0]
                for number in (1, 2):
                    at = random_walk(tensor, at)
                    walked[f"walk{number}.{layer}"] = resize(at[None], side)[0]
    every = {name: min_max(values)[0] for name, values in (cross | walked).items()}
    return {name: every[name] for name in (sorted(every) if names is None else names)}


def all_maps(maps: AttentionMaps, classes: Sequence[str], names: Sequence[str] | None = None) -> tuple[torch.Tensor, list[str]]:
    """`with_others` (C, 2F, h, w) of these classes, where the others include all classes of the prompt, and the F names."""
    by_class = [layer_maps(maps, name, names) for name in dict.fromkeys((*classes, *maps.words))]
    stacked = torch.stack([torch.stack(list(of_class.values())) for of_class in by_class])
    return with_others(stacked)[: len(classes)], list(by_class[0])


def with_others(maps: torch.Tensor) -> torch.Tensor:
    """(C, 2F, h, w) from maps (C, F, h, w): each class's maps, then the maxima of the other classes' maps, 0 for a single class."""
    count = len(maps)
    others = [torch.cat([maps[:i], maps[i + 1 :]]).amax(0) if count > 1 else torch.zeros_like(maps[0]) for i in range(count)]
    return torch.cat([maps, torch.stack(others)], 1)


def read_masks(maps: AttentionMaps, classes: Sequence[str], config: MaskConfig) -> list[SoftMask]:
    """Soft masks of classes, at the finest side, by the reading in the file `config.reading`. All classes of the prompt compete.

    Flag: `constant_map`. Raises UserError for a broken file, and for a reading whose layers were not captured.
    """
    assert config.reading is not None
    reading = Reading.load(config.reading)
    reading.check_layers([(kind, layer) for kind, _, layer, _ in maps.tensors() if layer], config.reading)
    results = []
    for logit in reading.logits(all_maps(maps, classes, reading.about.maps)[0]):
        steps = Steps()
        steps.keep(Step("layers weighed"), *min_max(logit))
        results.append(steps.finish(logit.sigmoid()))
    return results


def check_reading(config: MaskConfig, family: Family, network: Any) -> None:
    """Raise UserError if the reading of a configuration cannot be read or weighs layers that a network lacks. The network need not have its
    weights."""
    if config.reading is None:
        return
    layers = family.layers(network).items()
    there = [(kind, name) for name, layer in layers for kind in (("self", "cross") if isinstance(layer, Joint) else (layer.kind,))]
    Reading.load(config.reading).check_layers(there, config.reading)


def fit(rows: torch.Tensor, targets: torch.Tensor, sizes: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Logistic regression with a ridge penalty, by Newton's method in float64: weights (F,) and bias for the unscaled rows (n, F).

    targets (n,): the class's share in each row, in [0, 1]. sizes (n,): the weight of each row, at least 0. The penalty is on the weights
    of standardised columns; a constant column gets weight 0.
    """
    rows, targets, share = rows.double(), targets.double(), sizes.double() / sizes.double().sum()
    mean = share @ rows
    spread = (share @ (rows - mean).square()).sqrt()
    varies = spread > 1e-9
    scaled = torch.where(varies, (rows - mean) / spread.clamp_min(1e-9), 0.0)
    design = torch.cat([scaled, torch.ones_like(scaled[:, :1])], 1)
    ridge = torch.full((design.shape[1],), 2 * RIDGE, dtype=torch.float64)
    ridge[-1] = 0.0
    solution = torch.zeros_like(ridge)

    def loss(at: torch.Tensor) -> torch.Tensor:
        logit = design @ at
        return share @ (torch.nn.functional.softplus(logit) - targets * logit) + (ridge * at.square()).sum() / 2

    for _ in range(ROUNDS):
        likely = (design @ solution).sigmoid()
        slope = design.T @ (share * (likely - targets)) + ridge * solution
        curve = (design * (share * likely * (1 - likely))[:, None]).T @ design + ridge.clamp_min(1e-12).diag()
        step = torch.linalg.solve(curve, slope)
        length = next((part for part in (1.0, 0.5, 0.25, 0.1, 0.02) if loss(solution - part * step) <= loss(solution)), 0.0)
        solution = solution - length * step
        if length * step.abs().max() < 1e-8:
            break
    weights = torch.where(varies, solution[:-1] / spread.clamp_min(1e-9), 0.0)
    return weights, float(solution[-1] - weights @ mean)
