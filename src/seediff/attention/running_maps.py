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
from ..models.layers import KINDS, Kind
from .fused import add_probabilities_fused, can_fuse
from .maps import Grid, grid_at
from .place import Place
from .plan import CapturePlan
from .probabilities import ALL, Scores, Scratch, Target, add_probabilities

Apart = Literal["step", "layer"]
"""What has running maps of its own: each step, or each layer."""
LEAST = 1e-6
"""Lower bound of attention in a geometric mean, so that no single layer can make it 0."""


class LayerMap(NamedTuple):
    """The name of a map that a layer adds in a step."""

    kind: Kind
    grid: Grid
    layer: str


class Additions(NamedTuple):
    """What a layer adds in a step, for each softmax."""

    steps: Sequence[list[int]]
    """The lists in `RunningMaps.steps` to which the step is added, one for each kind of attention."""
    softmaxes: Sequence[tuple[slice, Sequence[Target]]]
    """The columns of a softmax, and the targets to which it is added."""
    finite: torch.Tensor
    """A scalar; NaN after a probability that was not finite."""


class MapKey(NamedTuple):
    """The name of a running map."""

    kind: Kind
    grid: Grid
    owner: str
    """Whose additions the map has: the name of a layer, the number of a step, or "" for all layers and steps."""


class RunningMaps:
    """The sums (B, N, T) float32: one for each kind of attention, resolution and owner. An owner is a step, a layer, or
    all of them, and its sum has everything that it adds. `apart` and `capture.mean` decide who the owners are. A
    geometric mean needs the sum of each layer, so for cross-attention it overrides `apart`:

        apart    capture.mean   owners in self-attention   owners in cross-attention
        None     arithmetic     "", all                    "", all
        None     geometric      "", all                    each layer
        "step"   arithmetic     each step                  each step
        "step"   geometric      each step                  each layer
        "layer"  either         each layer                 each layer

    plan: what is captured. apart: whether steps or layers have maps of their own.
    """

    def __init__(self, plan: CapturePlan, apart: Apart | None) -> None:
        self.plan = plan
        self.apart_by_kind: dict[Kind, Apart | None] = dict.fromkeys(KINDS, apart)
        """Kind of attention → the owners of its running maps; None: all layers and steps share one map."""
        if plan.capture.mean == "geometric":
            self.apart_by_kind["cross"] = "layer"  # a geometric mean is taken of the layers' means
        self.steps: dict[LayerMap, list[int]] = {}
        """The steps in which a layer added something."""
        self._maps: dict[MapKey, torch.Tensor] = {}
        self._finite: dict[str, torch.Tensor] = {}  # layer → as in `Additions`
        self._known: dict[tuple[str, Place], Additions] = {}
        self._scratch = Scratch()

    @property
    def map_bytes(self) -> int:
        """Bytes of the running maps."""
        return sum(total.nbytes for total in self._maps.values())

    # While the network runs

    def add(self, step: int, layer: str, place: Place, scores: Scores) -> None:
        """Add a layer's probabilities at one step, averaged over heads.

        step: the step's number. layer: the layer's name. place: which kinds of attention the columns of the scores are.
        scores: the scores of the picture's queries. Raises UserError for maps of another shape than in earlier steps.
        """
        additions = self._known.get((layer, place))
        if additions is None:
            additions = self._find(step, layer, place, scores)
            if "step" not in self.apart_by_kind.values():  # otherwise each step has targets of its own
                self._known[layer, place] = additions
        for steps in additions.steps:
            steps.append(step)
        add = add_probabilities_fused
        if not can_fuse(scores.query):
            add = partial(add_probabilities, scratch=self._scratch)
        for columns, targets in additions.softmaxes:
            some = scores.of_columns(columns)
            add(targets, some, normalize=self.plan.capture.normalize, finite=additions.finite)

    def _find(self, step: int, layer: str, place: Place, scores: Scores) -> Additions:
        """What a layer adds in a step. The arguments and errors of `add`."""
        steps: list[list[int]] = []
        one_softmax: list[Target] = []
        softmaxes: list[tuple[slice, Sequence[Target]]] = []
        for kind, columns in place.columns.items():
            added = LayerMap(kind, place.grid, layer)
            per_column = kind == "cross"
            running_map = self._running_map(added, step, scores, columns)
            steps.append(self.steps.setdefault(added, []))
            if kind in self.plan.own_softmax:
                softmaxes.append((columns, [Target(running_map, per_column=per_column)]))
            else:
                one_softmax.append(Target(running_map, columns, per_column))
        if one_softmax:
            softmaxes.append((ALL, one_softmax))
        if layer not in self._finite:
            self._finite[layer] = self._zeros((), scores.query)
        return Additions(steps, softmaxes, self._finite[layer])

    def _running_map(self, added: LayerMap, step: int, scores: Scores, columns: slice) -> torch.Tensor:
        """The running map (B, N, T) to which a layer adds these columns of the scores, made at the first addition.
        Raises UserError if earlier additions had another shape."""
        key = self._key(added, step)
        width = len(range(*columns.indices(scores.key.shape[2])))
        shape = (scores.query.shape[0], scores.query.shape[2], width)
        if key not in self._maps:
            self._maps[key] = self._zeros(shape, scores.query)
        total = self._maps[key]
        if total.shape != shape:
            problem = f"the network was given texts of {total.shape[2]} and of {width} columns in one run"
            raise UserError(problem, fix="use one `with` block for each")
        return total

    @torch.inference_mode(False)  # inference tensors could not be changed outside of that mode
    def _zeros(self, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Float32 zeros on the device of `like`."""
        return like.new_zeros(shape, dtype=torch.float32)

    def _key(self, added: LayerMap, step: int) -> MapKey:
        """The running map to which a layer adds in a step."""
        owners: dict[Apart | None, str] = {None: "", "layer": added.layer, "step": str(step)}
        return MapKey(added.kind, added.grid, owners[self.apart_by_kind[added.kind]])

    # The result

    def broken_layers(self) -> list[str]:
        """The names of the layers with probabilities that are not finite."""
        finite = torch.stack([*self._finite.values()]).isfinite().tolist()  # waits for the GPU once
        return [layer for layer, is_finite in zip(self._finite, finite, strict=True) if not is_finite]

    def average(self) -> Means:
        """The means. They take the memory of the sums: nothing can be added afterwards."""
        self._scratch = Scratch()
        counts = Counter(self._key(added, step) for added, steps in self.steps.items() for step in steps)
        ordered = sorted(self._maps, key=lambda key: key[:2], reverse=True)  # self before cross, fine before coarse
        maps = {key: self._maps[key].div_(counts[key]) for key in ordered}
        return Means(maps, counts, self.plan.capture.mean == "geometric")

    def steps_by_layer(self, latent_size: Grid) -> dict[str, list[list[int]]]:
        """A layer's name → lists of the steps in which it added maps, one list for each kind of attention that is
        captured from it. For example {"attn": [[0, 1], [0]]}: maps of one kind in steps 0 and 1, of the other in step
        0. latent_size: (height, width) of the latents."""
        found: dict[str, list[list[int]]] = {}
        for kind in self.plan.reads:
            for name, layer in self.plan.layers[kind].items():
                if self.plan.wants(kind, layer.level):
                    added = LayerMap(kind, grid_at(latent_size, layer.level), name)
                    found.setdefault(name, []).append(self.steps.get(added, []))
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
