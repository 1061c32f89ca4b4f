"""The running maps of a capture: sums of attention, to which layers add in every recorded step.

    RunningMaps.add       a layer's probabilities in one step ─▶ the sums
    RunningMaps.average   each sum ─▶ a mean: it is divided by the number of additions
    Means.of_all          the mean of all layers and steps, for each kind of attention and resolution

Shape letters: B images, H heads, N = h·w queries, T keys (N in self-attention, tokens in cross-attention).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Literal, NamedTuple

import torch

from ..errors import UserError
from ..models.layers import KINDS, Grid, Kind
from .cut import Cut
from .fused import add_probabilities_fused, can_fuse
from .plan import CapturePlan
from .probabilities import ALL, Scores, Scratch, Target, add_probabilities

Apart = Literal["step", "layer"]
"""What has running maps of its own: each step, or each layer."""
LEAST = 1e-6
"""Lower bound of attention in a geometric mean, so that no single layer can make it 0."""


class MapKey(NamedTuple):
    """The name of a running map."""

    kind: Kind
    grid: Grid
    owner: str
    """Whose additions the map has: the name of a layer, the number of a step, or "" for all layers and steps."""


class RunningMaps:
    """The sums (B, N, T) float32: one for each kind of attention, resolution and owner. An owner is a step, a layer, or
    all of them, and its sum has everything that it adds. A geometric mean is taken of the layers' means:

        apart    capture.mean   owners in self-attention   owners in cross-attention
        None     arithmetic     "", all                    "", all
        None     geometric      "", all                    each layer
        "step"   arithmetic     each step                  each step
        "layer"  arithmetic     each layer                 each layer

    plan: what is captured. apart: whether steps or layers have maps of their own; not with a geometric mean.
    """

    def __init__(self, plan: CapturePlan, apart: Apart | None) -> None:
        self.plan = plan
        self.apart_by_kind: dict[Kind, Apart | None] = dict.fromkeys(KINDS, apart)
        """Kind of attention → the owners of its running maps; None: all layers and steps share one map."""
        if plan.capture.mean == "geometric":
            self.apart_by_kind["cross"] = "layer"
        self.steps: dict[tuple[Kind, str], list[int]] = {}
        """Kind of attention and layer → the steps in which the layer added it."""
        self._maps: dict[MapKey, torch.Tensor] = {}
        self._counts: Counter[MapKey] = Counter()
        """How many additions each running map has."""
        self._finite: dict[str, torch.Tensor] = {}
        """Layer → a scalar; NaN after a probability that was not finite."""
        self._scratch = Scratch()

    @property
    def map_bytes(self) -> int:
        """Bytes of the running maps."""
        return sum(total.nbytes for total in self._maps.values())

    # While the network runs

    def add(self, step: int, layer: str, cut: Cut, scores: Scores) -> None:
        """Add a layer's probabilities at one step, averaged over heads.

        step: the step's number. layer: the layer's name. cut: which kinds of attention the columns of the scores are.
        scores: the scores of the picture's queries. Raises UserError for maps of another shape than in earlier steps.
        """
        # 1. The running maps, for each softmax: the layer's, or one of a kind's own
        shared: list[Target] = []
        softmaxes: list[tuple[slice, Sequence[Target]]] = []
        owners: dict[Apart | None, str] = {None: "", "layer": layer, "step": str(step)}
        for kind, columns in cut.columns.items():
            key = MapKey(kind, cut.grid, owners[self.apart_by_kind[kind]])
            width = len(range(*columns.indices(scores.key.shape[2])))
            running_map = self._running_map(key, width, scores.query)
            per_column = kind == "cross"
            if kind in self.plan.own_softmax:
                softmaxes.append((columns, [Target(running_map, per_column=per_column)]))
            else:
                shared.append(Target(running_map, columns, per_column))
            self._counts[key] += 1
            self.steps.setdefault((kind, layer), []).append(step)
        if shared:
            softmaxes.append((ALL, shared))
        if layer not in self._finite:
            self._finite[layer] = self._zeros((), scores.query)

        # 2. The sums
        add = add_probabilities_fused
        if not can_fuse(scores.query):
            add = partial(add_probabilities, scratch=self._scratch)
        normalize = self.plan.capture.normalize
        for columns, targets in softmaxes:
            add(targets, scores.of_columns(columns), normalize=normalize, finite=self._finite[layer])

    def _running_map(self, key: MapKey, width: int, query: torch.Tensor) -> torch.Tensor:
        """The running map (B, N, width) of this name for queries (B, H, N, D), made at the first addition. Raises
        UserError if earlier additions had another width."""
        total = self._maps.get(key)
        if total is None:
            total = self._maps[key] = self._zeros((query.shape[0], query.shape[2], width), query)
        if total.shape[2] != width:
            problem = f"the network was given texts of {total.shape[2]} and of {width} columns in one run"
            raise UserError(problem, fix="use one `with` block for each")
        return total

    @torch.inference_mode(False)  # inference tensors could not be changed outside of that mode
    def _zeros(self, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Float32 zeros on the device of `like`."""
        return like.new_zeros(shape, dtype=torch.float32)

    # The result

    def broken_layers(self) -> list[str]:
        """The names of the layers with probabilities that are not finite."""
        finite = torch.stack([*self._finite.values()]).isfinite().tolist()  # waits for the GPU once
        return [layer for layer, is_finite in zip(self._finite, finite, strict=True) if not is_finite]

    def average(self) -> Means:
        """The means. They take the memory of the sums: nothing can be added afterwards."""
        self._scratch = Scratch()
        ordered = sorted(self._maps, key=lambda key: key[:2], reverse=True)  # self before cross, fine before coarse
        maps = {key: self._maps[key].div_(self._counts[key]) for key in ordered}
        return Means(maps, self._counts, self.plan.capture.mean == "geometric")

    def steps_by_layer(self) -> dict[str, dict[Kind, list[int]]]:
        """A layer's name → kind of attention that is captured from it → the steps in which it added maps."""
        found: dict[str, dict[Kind, list[int]]] = {}
        for kind in self.plan.reads:
            for name, layer in self.plan.layers[kind].items():
                if self.plan.wants(kind, layer.level):
                    found.setdefault(name, {})[kind] = self.steps.get((kind, name), [])
        return found


class Means(NamedTuple):
    """The means of a capture's running maps."""

    maps: Mapping[MapKey, torch.Tensor]
    """(B, N, T) each: self-attention before cross-attention, the finest first."""
    counts: Mapping[MapKey, int]
    """How many additions each is the mean of."""
    is_geometric: bool
    """Which mean is taken of several owners."""

    def by_owner(self) -> dict[str, dict[Kind, dict[Grid, torch.Tensor]]]:
        """The means of each owner: owner (`MapKey`) → kind → (h, w), the finest first → (B, N, T)."""
        found: dict[str, dict[Kind, dict[Grid, torch.Tensor]]] = {}
        for (kind, grid, owner), mean in self.maps.items():
            found.setdefault(owner, {each: {} for each in KINDS})[kind][grid] = mean
        return found

    def of_all(self) -> dict[Kind, dict[Grid, torch.Tensor]]:
        """The means over all owners: kind → (h, w), the finest first → (B, N, T)."""
        means: dict[Kind, dict[Grid, torch.Tensor]] = {kind: {} for kind in KINDS}
        for (kind, grid), group in groupby(self.maps.items(), lambda item: item[0][:2]):
            maps = dict(group)  # one for each owner
            mean = next(iter(maps.values()))
            if len(maps) > 1 and self.is_geometric:
                mean = torch.stack([*maps.values()]).clamp_min(LEAST).log().mean(0).exp()
            elif len(maps) > 1:
                weighted = (of_owner * self.counts[key] for key, of_owner in maps.items())
                mean = sum(weighted, torch.zeros_like(mean)) / sum(self.counts[key] for key in maps)
            means[kind][grid] = mean
        return means
