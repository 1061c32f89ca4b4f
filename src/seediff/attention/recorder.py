"""The running maps of a capture: hooks add to them while the network runs; afterwards they become `AttentionMaps`.

Shape letters: B images, H heads, N = h·w queries, T keys (N in self-attention, tokens in cross-attention), D channels
per head.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..errors import UserError
from ..models.families.family import named_inputs
from ..models.graphs import GraphedNetwork
from ..models.groups import KINDS, Kind
from ..models.weights import no_number
from .fused import add_probabilities_fused, can_fuse
from .maps import AttentionMaps, Grid, grid_at
from .plan import CapturePlan
from .probabilities import Part, Scratch, add_probabilities

MOST_LAYERS = 1024
"""More layers than any network has."""
LEAST = 1e-6
"""Lower bound of attention in a geometric mean, so that no single layer can make it 0."""


@contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """Tensors made here are normal tensors even under `torch.inference_mode()`, because inference tensors cannot be
    changed in place outside it."""
    with torch.inference_mode(False), torch.no_grad():
        yield


class AttentionRecorder:
    """Running sums of attention, one (B, N, T) float32 buffer per resolution and kind; for a geometric mean of
    cross-attention, per layer. guidance, total_steps, asked: as in `capture_attention`. graphs: the network's
    recordings, which then write to memory that outlives this capture; None: it has none, or they are not used.
    """

    def __init__(
        self,
        plan: CapturePlan,
        *,
        guidance: bool,
        total_steps: int | None = None,
        asked: torch.Tensor | None = None,
        graphs: GraphedNetwork | None = None,
    ) -> None:
        if plan.capture.steps == "second-half" and total_steps is None:
            raise ValueError("steps='second-half' needs total_steps")
        self.plan, self.config, self.family = plan, plan.capture, plan.family
        self.guidance, self.total_steps, self.graphs = guidance, total_steps, graphs
        self._given_asked = asked
        self.by_layer: tuple[Kind, ...] = ("cross",) if self.config.mean == "geometric" else ()
        """Kinds with a buffer for each layer."""
        self._plan_text = repr((plan.capture, sorted(plan.reads.items()), sorted(plan.alone)))
        self.restart()

    def restart(self) -> None:
        """Discard everything recorded; maps that were already returned do not change."""
        self.calls = 0
        self.call: object = None
        """Another object in every call of the network."""
        self.step = -1
        self.recording = False
        self.rows: Sequence[int] | None = None
        """The rows, or clips, of each batch to record, if they are set before every call (script/listener.py); None: as
        `guidance` says."""
        self.latent_size: Grid | None = None
        self.frames = 1
        """The number of latent frames of each clip, each of which has maps of its own; of images, 1."""
        self.images: int | None = None
        self._sums: dict[tuple[Kind, Grid, str], torch.Tensor] = {}
        self._counts: dict[tuple[Kind, Grid, str], int] = {}
        self._additions: list[tuple[Kind, Grid, str]] = []  # of the current call
        self._slots: dict[str, int] = {}  # layer → the row of its number, which is NaN if a probability was
        self._finite: torch.Tensor | None = None  # numbers in the first column: kernels want them 16 bytes apart
        self._scratch = Scratch()
        self._finished = False
        self.touched: set[Hashable] = set()
        self.computed: set[str] = set()
        """Layers that computed queries or keys, in recorded steps or others."""
        self.asked = self._given_asked

    # Which calls and rows

    def start_step(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides whether to record this call."""
        if self._finished:
            raise RuntimeError("the maps of this capture were already taken: start a new one")
        if self.calls == 0 and self.graphs is not None:
            self._take_memory(self.graphs)
        self._additions = []
        given = named_inputs(network, args, kwargs)
        batch, height, width = self.family.lattice(network, given)
        images = batch // 2 if self.halved else batch
        if self.rows is not None:
            images = len(self.rows)
        self.frames = self.family.frames(given)
        images, size = images * self.frames, (height, width)
        if self.latent_size is not None and (self.latent_size, self.images) != (size, images):
            problem = "the network drew pictures of several sizes, or numbers of pictures, in one run"
            raise UserError(problem, fix="use one `with` block for each")
        self.latent_size, self.images, self._dtype = size, images, str(network.dtype)
        self.calls, self.call = self.calls + 1, object()
        if self.guidance and not self.halved and self.calls % 2 == 0:  # the second of two calls has no prompt
            self.pass_over()
            return
        self.step += 1
        every = self.config.steps
        if every == "second-half":
            assert self.total_steps is not None
            self.recording = self.step >= self.total_steps // 2
        else:
            self.recording = every == "all" or self.step % every == 0

    def pass_over(self) -> None:
        """Record nothing of this call."""
        self.recording, self._additions = False, []

    @property
    def halved(self) -> bool:
        """Whether half of every batch has no prompt."""
        return self.guidance and self.family.conditional != "first call"

    @property
    def frames_of_row(self) -> int:
        """The number of frames whose positions are in one row of a batch."""
        if self.family.frames_in_rows:
            return 1
        return self.frames

    def conditional(self, tensor: torch.Tensor) -> torch.Tensor:
        """The text-conditional part of a batch (first dimension)."""
        if self.rows is not None:
            each = self.frames // self.frames_of_row
            if isinstance(self.rows, range):  # no copy
                return tensor[self.rows.start * each : self.rows.stop * each]
            return tensor.unflatten(0, (-1, each))[list(self.rows)].flatten(0, 1)
        if not self.halved:
            return tensor
        half = tensor.shape[0] // 2
        return tensor[:half] if self.family.conditional == "first half" else tensor[half:]

    # Which maps

    @property
    def positions(self) -> int:
        """The number of positions at L in one row of a batch."""
        assert self.latent_size is not None
        return self.frames_of_row * math.prod(self.latent_size)

    def check_positions(self, name: str, positions: int, level: int = 1) -> None:
        """Raise UserError if a layer at L / level attends from or to another number of positions than there are: where
        they are is not known."""
        assert self.latent_size is not None
        there = self.frames_of_row * math.prod(grid_at(self.latent_size, level))
        if positions != there:
            problem = f"attends over {positions} positions instead of {there} (token merging or tiles?)"
            raise UserError(name, problem, "draw without it")

    def wants(self, kind: Kind, level: int = 1) -> bool:
        """Whether to record maps of this kind at L / level in this network call."""
        levels = self.plan.reads.get(kind, ())
        return self.recording and (levels is None or level in levels)

    # Adding

    def add(
        self,
        name: str,
        parts: Mapping[Kind, slice],
        query: torch.Tensor,
        key: torch.Tensor,
        scale: float,
        bias: torch.Tensor | None,
        level: int = 1,
    ) -> None:
        """Add the probabilities of a layer at L / level at one step, averaged over heads.

        parts: kind → the columns that have it; empty and unwanted parts are skipped. query: (B, H, N, D). key: (B, H,
        T, D). bias: (B, 1 or H, 1 or N, T), added to the scores, −inf for padding; None: no padding.
        """
        assert self.latent_size is not None
        together: list[Part] = []
        for kind, columns in parts.items():
            width = len(range(*columns.indices(key.shape[2])))
            if not width or not self.wants(kind, level):
                continue
            total = self._total(kind, grid_at(self.latent_size, level), name, query, width)
            if kind in self.plan.alone:
                own_bias = None if bias is None else bias[..., columns]
                self._add([Part(total, per_column=kind == "cross")], name, query, key[:, :, columns], scale, own_bias)
            else:
                together.append(Part(total, columns, kind == "cross"))
        if together:
            self._add(together, name, query, key, scale, bias)

    def by_frame(self, states: torch.Tensor) -> torch.Tensor:
        """(B, H, frames · N, D) → (B · frames, H, N, D)."""
        return states.unflatten(2, (self.frames, -1)).transpose(1, 2).flatten(0, 1)

    def _add(self, parts: Sequence[Part], name: str, query: torch.Tensor, *states: Any) -> None:
        if self._finite is None:
            self._finite = self._keep("finite", (MOST_LAYERS, 4), query)
        finite = self._finite[self._slots.setdefault(name, len(self._slots)), 0]
        normalize = self.config.normalize
        if can_fuse(query):
            with torch.cuda.device_of(query):  # Triton launches on the current device
                add_probabilities_fused(parts, query, *states, normalize=normalize, finite=finite)
        else:
            add_probabilities(parts, query, *states, normalize=normalize, finite=finite, scratch=self._scratch)

    def _total(self, kind: Kind, grid: Grid, name: str, query: torch.Tensor, columns: int) -> torch.Tensor:
        """The running map for one layer and step. Counts the addition."""
        where = (kind, grid, name if kind in self.by_layer else "")
        self._additions.append(where)
        self._counts[where] = self._counts.get(where, 0) + 1
        shape = (query.shape[0], query.shape[2], columns)
        if where not in self._sums:
            self._sums[where] = self._keep(where, shape, query)
        self.touched.add((where, shape))
        return self._sums[where]

    @_ordinary_tensors()
    def _keep(self, what: Hashable, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Float32 zeros; where recordings write to them, those of an earlier capture, zero at its begin."""
        if self.graphs is None:
            return like.new_zeros(shape, dtype=torch.float32)
        kept = self.graphs.memory
        if (what, shape) not in kept:
            kept[what, shape] = like.new_zeros(shape, dtype=torch.float32)
        self.touched.add((what, shape))
        return kept[what, shape]

    # What recordings of the network must know (models/graphs.py)

    @_ordinary_tensors()
    def _take_memory(self, graphs: GraphedNetwork) -> None:
        """Use the memory of recordings, set to zero: before the first call, because a zero that is set in a recorded
        call would be set again at every replay, and no earlier, because a script may change its network until then."""
        graphs.prepare()
        self._slots = graphs.slots
        for kept in graphs.memory.values():
            kept.zero_()
        if self._given_asked is not None:
            name = ("asked", tuple(self._given_asked.shape), self._given_asked.dtype)
            if name not in graphs.memory:
                graphs.memory[name] = torch.empty_like(self._given_asked)
            self.asked = graphs.memory[name].copy_(self._given_asked)
            self.touched.add(name)

    def kind_of_call(self) -> Hashable:
        """All that decides which operations the hooks start in this call; None if it is no call of this capture."""
        if self.calls == 0:
            return None
        if not self.recording:
            return "none"
        rows = None if self.rows is None else tuple(self.rows)
        asked = None if self.asked is None else (tuple(self.asked.shape), self.asked.dtype)
        return self._plan_text, self.latent_size, self.images, self.halved, rows, asked

    def add_again(self, additions: Sequence[tuple[tuple[Kind, Grid, str], torch.Tensor]]) -> None:
        """Count what a replay adds to its maps."""
        for where, total in additions:
            self._counts[where] = self._counts.get(where, 0) + 1
            self._sums[where] = total
            self.touched.add((where, tuple(total.shape)))
        if additions and self._finite is None:
            self._finite = self._keep("finite", (MOST_LAYERS, 4), additions[0][1])

    def take_back(self) -> Sequence[tuple[tuple[Kind, Grid, str], torch.Tensor]]:
        """The maps that this call added to, once for each addition, which does not count. Layers forget what they kept
        if the call was ended by an error."""
        self.call = object()
        additions = [(where, self._sums[where]) for where in self._additions]
        for where in self._additions:
            self._counts[where] -= 1
        self._additions = []
        return additions

    # The result

    @_ordinary_tensors()
    def maps(self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str]) -> list[AttentionMaps]:
        """The means over layers and steps (eq. 5): one AttentionMaps per image of the batch, on the network's device.

        words, prompts: for each image, as in AttentionMaps. Raises UserError if nothing was recorded or attention was
        not finite.
        """
        means = {kind: self._means(kind) for kind in KINDS}
        size, images, normalized = self.latent_size, self.images, self.config.normalize
        assert size is not None
        assert images is not None
        maps: list[AttentionMaps] = []
        for image, of_image, prompt in zip(range(images), words, prompts, strict=True):
            own, cross = ({grid: tensor[image] for grid, tensor in means[kind].items()} for kind in KINDS)
            maps.append(AttentionMaps(own, cross, size, dict(of_image), prompt, normalized))
        return maps

    def _means(self, kind: Kind) -> dict[Grid, torch.Tensor]:
        """(h, w) → (B, N, T): the mean over layers, a geometric one if there is a buffer for each."""
        means: dict[Grid, torch.Tensor] = {}
        for grid, layers in self.layers(kind).items():
            maps = list(layers.values())
            means[grid] = maps[0]
            if len(maps) > 1:
                means[grid] = torch.stack(maps).clamp_min(LEAST).log().mean(0).exp()
        return means

    def layers(self, kind: Kind) -> dict[Grid, dict[str, torch.Tensor]]:
        """(h, w), the finest first → the name of a layer, or "" for the mean of all → (B, N, T), averaged over steps.
        Raises UserError as `maps` does."""
        self._finish()
        grids: dict[Grid, dict[str, torch.Tensor]] = {}
        for (of, grid, name), tensor in self._sums.items():
            if of == kind:
                grids.setdefault(grid, {})[name] = tensor
        return dict(sorted(grids.items(), reverse=True))

    def _finish(self) -> None:
        """Turn sums into means, once."""
        if self._finished:
            return
        self._scratch = Scratch()
        if not self._sums:
            raise UserError(
                "no attention was captured: the network did not run, or no layer matches the chosen levels and steps"
            )
        assert self._finite is not None
        numbers = self._finite[:, 0].isfinite().tolist()
        bad = [name for name, slot in self._slots.items() if not numbers[slot]]
        if bad:
            more = f" and {len(bad) - 1} more layers" if len(bad) > 1 else ""
            raise no_number(f"probabilities of {bad[0]}{more}", self._dtype)
        for where, total in self._sums.items():
            if self.graphs is None:
                total.div_(self._counts[where])
            else:  # recordings will add to it in the next capture
                self._sums[where] = total / self._counts[where]
        self._finished = True
