"""The running maps of a capture: layers add to them while the network runs; afterwards they become `AttentionMaps`.

    _sums     SumKey → the sum of what was added to a running map
    _counts   SumKey → how often something was added to it; `_finish` divides the sum by it
    _steps    LayerMap → the steps in which a layer added something; `_check_layers` reads it

Shape letters: B images, H heads, N = h·w queries, T keys (N in self-attention, tokens in cross-attention), D channels
per head.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch

from ..errors import Notice, UserError, first_line
from ..models.families.family import named_inputs
from ..models.graphs import GraphedNetwork
from ..models.layer_choice import KINDS, Kind
from ..models.weights import no_number
from .calls import RecordedCalls
from .fused import add_probabilities_fused, can_fuse
from .maps import AttentionMaps, Grid, grid_at
from .plan import CapturePlan
from .probabilities import Part, Scratch, add_probabilities
from .product import Product, Watch

MOST_LAYERS = 1024
"""More layers than any network has."""
Apart = Literal["step", "layer"]
"""What has running maps of its own: each step, or each layer."""
LEAST = 1e-6
"""Lower bound of attention in a geometric mean, so that no single layer can make it 0."""


class LayerMap(NamedTuple):
    """Names what a layer adds to running maps."""

    kind: Kind
    grid: Grid
    layer: str


class SumKey(NamedTuple):
    """Names a running map."""

    kind: Kind
    grid: Grid
    owner: str
    """The layer, or the number of the step, whose map it is; "": all layers and steps share it."""


@contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """Tensors made here are normal tensors even under `torch.inference_mode()`, because inference tensors cannot be
    changed in place outside it."""
    with torch.inference_mode(False), torch.no_grad():
        yield


class AttentionRecorder(RecordedCalls):
    """Running sums of attention, one (B, N, T) float32 buffer per resolution and kind, and per owner where maps are
    kept apart.

    guidance, total_steps, text_states: as in `capture_attention`. graphs: the network's recordings, which then write to
    memory that outlives this capture; None: nothing is recorded or replayed. apart: keep each step's, or each
    layer's, maps apart. keeps_errors: whether an error of capture while the network runs ends only the capture: it is
    kept, reported once in a warning, and raised where maps are requested. Otherwise it is raised at once.
    """

    def __init__(
        self,
        plan: CapturePlan,
        *,
        guidance: bool,
        total_steps: int | None = None,
        text_states: torch.Tensor | None = None,
        graphs: GraphedNetwork | None = None,
        apart: Apart | None = None,
        keeps_errors: bool = False,
    ) -> None:
        super().__init__(plan, guidance=guidance, total_steps=total_steps)
        self.apart = apart
        self.graphs, self.keeps_errors, self._given_states = graphs, keeps_errors, text_states
        self.owners: dict[Kind, Apart | None] = dict.fromkeys(KINDS, apart)
        """What has running maps of its own; None: all share one."""
        if self.config.mean == "geometric":
            self.owners["cross"] = "layer"
        self.watch: Watch | None = None
        """The watch of the layer that runs."""
        self._plan_text = repr((plan.capture, sorted(plan.reads.items()), sorted(plan.alone)))
        self.restart()

    def restart(self) -> None:
        """Discard everything recorded; maps that were already returned do not change."""
        self.end_watch()
        self.restart_calls()
        self.error: UserError | None = None
        """The error that is kept, after which nothing more is recorded."""
        self._thread = 0  # the one in which the network runs
        self._sums: dict[SumKey, torch.Tensor] = {}
        self._counts = Counter[SumKey]()
        self._steps: dict[LayerMap, list[int]] = {}
        self._recorded_steps: list[int] = []
        self.ran: set[str] = set()
        """The layers whose modules ran while they were recorded."""
        self._slots: dict[str, int] = {}  # layer → its row in `_finite`
        # One number a layer, NaN if a probability was, in the first of four columns: kernels want them 16 bytes apart
        self._finite: torch.Tensor | None = None
        self._scratch = Scratch()
        self._finished = False
        self.touched: set[Hashable] = set()
        self.text_states = self._given_states

    # While the network runs

    def start_step(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides whether to record this call."""
        if self._finished:
            raise RuntimeError("the maps of this capture were already taken: start a new one")
        if self.calls == 0 and self.graphs is not None:
            self._take_memory(self.graphs)
        self.end_watch()
        self._thread, self.calls = threading.get_ident(), self.calls + 1
        self.begin_call(network, named_inputs(network, args, kwargs))
        if self.recording:
            self._recorded_steps.append(self.step)

    def end_step(self) -> None:
        """Record nothing more, because the network's call has ended: backward computes some layers again."""
        self._thread = 0
        self.end_watch()

    def end_watch(self) -> None:
        """End the watch of a layer that Ctrl-C ended: then PyTorch calls no hooks."""
        if self.watch is not None:
            self.watch.end()
            self.watch = None

    @property
    def map_bytes(self) -> int:
        """Bytes of the running maps."""
        return sum(total.nbytes for total in self._sums.values())

    @property
    def runs_here(self) -> bool:
        """Whether the network runs, in this thread."""
        return self._thread == threading.get_ident()

    # What goes wrong

    def fail(self, error: Exception, layer: str = "") -> None:
        """Raise an error of capture, or keep it and record nothing more. layer: where it happened."""
        if not self.keeps_errors or (self.graphs is not None and self.graphs.is_recording):
            raise error
        if self.error is not None:
            return
        kept = error if isinstance(error, UserError) else UserError(layer, f"capture failed ({first_line(error)})")
        self.error, self._sums = kept, {}
        self.pass_over()
        warnings.warn(Notice(f"attention is not captured any more, and its maps cannot be had: {kept}"), stacklevel=2)

    # Adding

    def add(self, name: str, parts: Mapping[Kind, slice | None], product: Product, level: int = 1) -> None:
        """Add the probabilities of a layer at L / level at one step, averaged over heads.

        parts: kind → its columns; kinds without columns, and unwanted ones, are skipped. product: keys with as many
        heads as queries, and a mask (B, 1 or H, 1 or N, T) of numbers.
        """
        assert self.latent_size is not None
        grid, together = grid_at(self.latent_size, level), list[Part]()
        added: list[LayerMap] = []
        query, key, mask = product.query, product.key, product.mask
        for kind, columns in parts.items():
            if columns is None or not self.wants(kind, level):
                continue
            width = len(range(*columns.indices(key.shape[2])))
            added.append(LayerMap(kind, grid, name))
            total = self._sum(self._key(added[-1]), (query.shape[0], query.shape[2], width), query)
            if kind in self.plan.alone:
                own = product._replace(key=key[:, :, columns], mask=mask if mask is None else mask[..., columns])
                self._add([Part(total, per_column=kind == "cross")], name, own._replace(sums=None))
            else:
                together.append(Part(total, columns, kind == "cross"))
        if together:
            self._add(together, name, product)
        for each in added:
            self._count(each)

    def _add(self, parts: Sequence[Part], name: str, product: Product) -> None:
        query, key, mask, scale, sums = product
        if self._finite is None:
            self._finite = self._zeros("finite", (MOST_LAYERS, 4), query)
        finite = self._finite[self._slots.setdefault(name, len(self._slots)), 0]
        normalize = self.config.normalize
        if can_fuse(query):
            with torch.cuda.device_of(query):  # Triton launches on the current device
                add_probabilities_fused(parts, query, key, scale, mask, sums, normalize=normalize, finite=finite)
        else:
            own = {"normalize": normalize, "finite": finite, "scratch": self._scratch}
            add_probabilities(parts, query, key, scale, mask, **own)

    def _sum(self, key: SumKey, shape: tuple[int, int, int], like: torch.Tensor) -> torch.Tensor:
        """The running map (B, N, T) with this key. Raises UserError if it has had another shape."""
        if key not in self._sums:
            self._sums[key] = self._zeros(key, shape, like)
        total = self._sums[key]
        if total.shape != shape:
            problem = f"the network was given texts of {total.shape[2]} and of {shape[2]} columns in one run"
            raise UserError(problem, fix="use one `with` block for each")
        return total

    def _key(self, added: LayerMap) -> SumKey:
        """The running map to which a layer adds in this step."""
        owners: dict[Apart | None, str] = {None: "", "layer": added.layer, "step": str(self.step)}
        return SumKey(added.kind, added.grid, owners[self.owners[added.kind]])

    def _count(self, added: LayerMap) -> None:
        """Count what a layer has added."""
        key = self._key(added)
        self._steps.setdefault(added, []).append(self.step)
        self._counts[key] += 1
        self.touched.add((key, tuple(self._sums[key].shape)))

    @_ordinary_tensors()
    def _zeros(self, name: Hashable, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Float32 zeros. Where recordings write to them, they are the tensor of an earlier capture with this name."""
        if self.graphs is None:
            return like.new_zeros(shape, dtype=torch.float32)
        memory = self.graphs.memory
        if (name, shape) not in memory:
            memory[name, shape] = like.new_zeros(shape, dtype=torch.float32)
        self.touched.add((name, shape))
        return memory[name, shape]

    # What recordings of the network must know (models/graphs.py)

    @_ordinary_tensors()
    def _take_memory(self, graphs: GraphedNetwork) -> None:
        """Set the recordings' memory to zero and use it: not in a recorded call, of which each replay would set it to
        zero again, and not before the first call, because a script may change its network until then."""
        graphs.prepare()
        self._slots = graphs.slots
        for kept in graphs.memory.values():
            kept.zero_()
        if self._given_states is not None:
            name = ("text_states", tuple(self._given_states.shape), self._given_states.dtype)
            if name not in graphs.memory:
                graphs.memory[name] = torch.empty_like(self._given_states)
            self.text_states = graphs.memory[name].copy_(self._given_states)
            self.touched.add(name)

    def kind_of_call(self) -> Hashable:
        """Everything that decides which operations the hooks start in this call; None before this capture's first
        call."""
        if self.calls == 0:
            return None
        if not self.recording:
            return "none"
        text_states = None if self.text_states is None else (tuple(self.text_states.shape), self.text_states.dtype)
        return self._plan_text, self.latent_size, self.images, tuple(self._recorded_rows), text_states

    def add_again(self, additions: Sequence[tuple[LayerMap, torch.Tensor]]) -> None:
        """Count what a replay adds to its maps."""
        for added, total in additions:
            self._sums[self._key(added)] = total
            self._count(added)
        if additions and self._finite is None:
            self._finite = self._zeros("finite", (MOST_LAYERS, 4), additions[0][1])

    def take_back(self) -> Sequence[tuple[LayerMap, torch.Tensor]]:
        """Count nothing of what this call added. Returns what each layer added, and the running map that it added
        to."""
        additions: list[tuple[LayerMap, torch.Tensor]] = []
        for added, steps in self._steps.items():
            if self.recording and steps[-1:] == [self.step]:
                steps.pop()
                key = self._key(added)
                self._counts[key] -= 1
                additions.append((added, self._sums[key]))
        return additions

    # The result

    @_ordinary_tensors()
    def maps(self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str]) -> list[AttentionMaps]:
        """The means over layers and steps (eq. 5): one AttentionMaps per image of the batch, on the network's device.

        words, prompts: for each image, as in AttentionMaps. Raises UserError if nothing was recorded or attention was
        not finite.
        """
        return self._split_images({kind: self._means(kind) for kind in KINDS}, words, prompts)

    def _split_images(
        self,
        tensors: Mapping[Kind, Mapping[Grid, torch.Tensor]],
        words: Sequence[Mapping[str, tuple[int, ...]]],
        prompts: Sequence[str],
    ) -> list[AttentionMaps]:
        """The maps of each image. tensors: kind → (h, w) → (B, N, T). words, prompts: as in `maps`."""
        size, images, normalized = self.latent_size, self.images, self.config.normalize
        assert size is not None
        assert images is not None
        maps: list[AttentionMaps] = []
        for image, of_image, prompt in zip(range(images), words, prompts, strict=True):
            own, cross = ({grid: tensor[image] for grid, tensor in tensors[kind].items()} for kind in KINDS)
            maps.append(AttentionMaps(own, cross, size, dict(of_image), prompt, normalized))
        return maps

    def _means(self, kind: Kind) -> dict[Grid, torch.Tensor]:
        """(h, w) → (B, N, T): the mean over layers and steps, as `config.mean` says."""
        means: dict[Grid, torch.Tensor] = {}
        for grid, by_owner in self.maps_by_size(kind).items():
            maps = list(by_owner.values())
            means[grid] = maps[0]
            if len(maps) > 1 and self.apart:
                counts = [self._counts[SumKey(kind, grid, owner)] for owner in by_owner]
                weighted = (each * count for each, count in zip(maps, counts, strict=True))
                means[grid] = sum(weighted, torch.zeros_like(maps[0])) / sum(counts)
            elif len(maps) > 1:
                means[grid] = torch.stack(maps).clamp_min(LEAST).log().mean(0).exp()
        return means

    @_ordinary_tensors()
    def maps_apart(self, prompts: Sequence[str]) -> list[dict[str, AttentionMaps]]:
        """For each image, its maps by the step's number, or the layer's name; empty if they are not kept apart."""
        found: dict[str, dict[Kind, dict[Grid, torch.Tensor]]] = {}
        for kind in KINDS if self.apart else ():
            for grid, tensors in self.maps_by_size(kind).items():
                for owner, tensor in tensors.items():
                    found.setdefault(owner, {each: {} for each in KINDS})[kind][grid] = tensor
        images: list[dict[str, AttentionMaps]] = [{} for _ in prompts]
        for owner, kinds in found.items():
            for of_image, maps in zip(images, self._split_images(kinds, [{}] * len(prompts), prompts), strict=True):
                of_image[owner] = maps
        return images

    def maps_by_size(self, kind: Kind) -> dict[Grid, dict[str, torch.Tensor]]:
        """(h, w), the finest first → owner, as in `SumKey` → (B, N, T), averaged over what was added. Raises UserError
        as `maps` does."""
        self._finish()
        grids: dict[Grid, dict[str, torch.Tensor]] = {}
        for key, tensor in self._sums.items():
            if key.kind == kind:
                grids.setdefault(key.grid, {})[key.owner] = tensor
        return dict(sorted(grids.items(), reverse=True))

    def _finish(self) -> None:
        """Turn sums into means, once."""
        if self._finished:
            return
        self._scratch = Scratch()
        if self.error is not None:
            raise self.error
        self._check_layers()
        assert self._finite is not None
        numbers = self._finite[:, 0].isfinite().tolist()
        bad = [name for name, slot in self._slots.items() if not numbers[slot]]
        if bad:
            raise no_number(f"probabilities of {_listed(bad)}", self.dtype)
        for key, total in self._sums.items():
            if self.graphs is None:
                total.div_(self._counts[key])
            else:  # recordings will add to it in the next capture
                self._sums[key] = total / self._counts[key]
        self._finished = True

    def _check_layers(self) -> None:
        """Raise UserError for a layer that computed no attention, as far as capture saw, and warn of layers that
        computed it in fewer steps than were recorded."""
        seen = {(added.kind, added.layer): steps for added, steps in self._steps.items()}
        steps: dict[tuple[Kind, str], list[int]] = {}
        for kind, levels in self.plan.reads.items():
            for name, layer in self.plan.layers[kind].items():
                if levels is None or layer.level in levels:
                    steps[kind, name] = seen.get((kind, name), [])
        if not steps or not self._recorded_steps:
            raise UserError(
                "no attention was captured: the network did not run, or no layer matches the chosen levels and steps"
            )
        unseen = dict.fromkeys(name for (_, name), own in steps.items() if not own)
        if unseen:
            problem, fix = "computes attention in a way that is not known", "use an attention processor of diffusers"
            if self.ran.isdisjoint(unseen):
                problem, fix = "did not run (replaced inside of the block?)", "open a new `with` block after that"
            raise UserError(_listed([*unseen]), problem, fix)
        fewer = dict.fromkeys(name for (_, name), own in steps.items() if own != self._recorded_steps)
        if fewer:
            count = len(self._recorded_steps)
            text = f"computed attention in some of {count} steps (a cache?), and its maps are the means of these"
            warnings.warn(Notice(f"{_listed([*fewer])} {text}"), stacklevel=3)


def _listed(names: Sequence[str]) -> str:
    """The first of some layers, and how many more there are."""
    more = f" and {len(names) - 1} more layers" if len(names) > 1 else ""
    return f"{names[0]}{more}"
