"""The running maps of a capture: hooks add to them while the network runs; afterwards they become `AttentionMaps`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..config.constants import CaptureConfig
from ..errors import UserError
from ..models.groups import Kind, Layers, by_kind
from .fused import add_fast
from .maps import AttentionMaps, Grid, grid_at, grid_text
from .plan import CapturePlan
from .probabilities import Part, Scratch

KINDS: tuple[Kind, Kind] = ("self", "cross")
LEAST = 1e-6
"""Lower bound of attention in a geometric mean, so that no single layer can make it 0."""


def mean_of_layers(kind: Kind, layers: Sequence[torch.Tensor], config: CaptureConfig) -> torch.Tensor:
    """The mean over layers: geometric for cross-attention with `mean` "geometric", otherwise arithmetic."""
    if len(layers) == 1:
        return layers[0]
    stacked = torch.stack(list(layers))
    if kind == "cross" and config.mean == "geometric":
        return stacked.clamp_min(LEAST).log().mean(0).exp()
    return stacked.mean(0)


@contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """Tensors made here are normal tensors even under `torch.inference_mode()`, because inference tensors cannot be
    changed in place outside it."""
    with torch.inference_mode(False), torch.no_grad():
        yield


class AttentionRecorder:
    """Running sums of attention, one (B, N, T) float32 buffer per resolution (or layer) and kind."""

    def __init__(
        self, plan: CapturePlan, *, guidance: bool, total_steps: int | None = None, per_layer: bool = False
    ) -> None:
        if plan.capture.steps == "second-half" and total_steps is None:
            raise ValueError("steps='second-half' needs total_steps")
        self.plan, self.config, self.family = plan, plan.capture, plan.family
        self.guidance = guidance
        self.total_steps = total_steps
        self.per_layer = per_layer or len(plan.groups) > 1
        self.layers: Collection[str] = ()
        """The names of all layers."""
        self.asked: torch.Tensor | None = None
        """As in `capture_attention`."""
        self.restart()

    def restart(self) -> None:
        """Discard everything recorded; maps that were already returned do not change."""
        self.calls = 0
        self.step = -1
        self.recording = False
        self.rows: Sequence[int] | None = None
        """The rows of each batch to record, if they are set before every call (script/listener.py); None: as `guidance`
        says.
        """
        self.latent_size: Grid | None = None
        self.images: int | None = None
        self._sums: dict[tuple[Kind, Grid, str], torch.Tensor] = {}
        self._counts: dict[tuple[Kind, Grid, str], int] = {}
        self._finite: dict[str, torch.Tensor] = {}  # layer → a number, NaN if any of its probabilities was NaN
        self._scratch = Scratch()
        self._finished = False

    def start_step(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides whether to record this call."""
        if self._finished:
            raise RuntimeError("the maps of this capture were already taken: start a new one")
        batch, height, width = self.family.lattice(network, args, kwargs)
        images = len(self.rows) if self.rows is not None else batch // 2 if self.halved else batch
        if self.halved and batch % 2:
            raise ValueError(f"guidance=True needs halves with the prompt and without, but the batch is {batch}")
        size = (height, width)
        if self.latent_size is not None and (self.latent_size, self.images) != (size, images):
            before = f"{self.images} images of {grid_text(self.latent_size)}"
            raise ValueError(f"one capture is of one batch: {before}, then {images} of {grid_text(size)}")
        self.latent_size, self.images = size, images
        self.calls += 1
        if self.guidance and not self.halved and self.calls % 2 == 0:  # the second of two calls has no prompt
            self.recording = False
            return
        self.step += 1
        match self.config.steps:
            case "all":
                self.recording = True
            case "second-half":
                assert self.total_steps is not None
                self.recording = self.step >= self.total_steps // 2
            case every:
                self.recording = self.step % every == 0

    def grid(self, positions: int) -> Grid:
        """Height and width of a map with this number of positions: the latent's size, halved as often as needed
        (rounded up, as convolutions do).

        Raises UserError if no level of this latent has this number.
        """
        assert self.latent_size is not None
        height, width = self.latent_size
        while height * width > positions:
            height, width = (height + 1) // 2, (width + 1) // 2
        if height * width != positions:
            raise UserError(
                f"attention over {positions} positions is of no level of latents of {grid_text(self.latent_size)}"
            )
        return height, width

    def wants(self, kind: Kind, positions: int) -> bool:
        """Whether to record maps of this kind, with this number of positions, in this network call."""
        if not self.recording or kind not in self.plan.reads:
            return False
        levels = self.plan.reads[kind]
        if levels is None:
            return True
        assert self.latent_size is not None
        return self.grid(positions) in [grid_at(self.latent_size, level) for level in levels]

    @property
    def halved(self) -> bool:
        """Whether half of every batch has no prompt."""
        return self.guidance and self.family.conditional != "first call"

    def conditional(self, tensor: torch.Tensor) -> torch.Tensor:
        """The text-conditional part of a batch (first dimension)."""
        if self.rows is not None:
            return tensor[self.rows.start : self.rows.stop] if isinstance(self.rows, range) else tensor[list(self.rows)]
        if not self.halved:
            return tensor
        half = tensor.shape[0] // 2
        return tensor[:half] if self.family.conditional == "first half" else tensor[half:]

    def add(
        self, kind: Kind, name: str, query: torch.Tensor, key: torch.Tensor, scale: float, bias: torch.Tensor | None
    ) -> None:
        """Add one layer's probabilities at one step, averaged over heads. query: (B, H, N, D). key: (B, H, T, D). bias:
        (B, H, 1 or N, T)."""
        total = self._total(kind, self.grid(query.shape[2]), name, query, key.shape[2])
        self._add([Part(total, per_column=kind == "cross")], name, query, key, scale, bias)

    def add_joint(
        self, name: str, query: torch.Tensor, key: torch.Tensor, parts: Mapping[Kind, slice], bias: torch.Tensor | None
    ) -> None:
        """Add one layer and step of joint attention: the picture's queries (B, H, N, D) and all keys (B, H, S, D).

        parts: the columns of the picture ("self") and of the text ("cross"); empty and unwanted parts are skipped.
        bias: (B, 1, 1, S), added to the scores, −inf for padding; None: no padding.
        """
        size = self.latent_size
        assert size is not None
        wanted: list[Part] = []
        for kind, columns in parts.items():
            width = len(range(*columns.indices(key.shape[2])))
            if width and self.wants(kind, size[0] * size[1]):
                wanted.append(
                    Part(self._total(kind, size, name, query, width), columns, kind == "cross", kind in self.plan.alone)
                )
        if not wanted:
            return
        self._add(wanted, name, query, key, query.shape[3] ** -0.5, bias)

    def _add(
        self,
        parts: Sequence[Part],
        name: str,
        query: torch.Tensor,
        key: torch.Tensor,
        scale: float,
        bias: torch.Tensor | None,
    ) -> None:
        finite = add_fast(parts, query, key, scale, bias, normalize=self.config.normalize, scratch=self._scratch)
        self._finite[name] = self._finite[name] + finite if name in self._finite else finite

    @property
    def positions(self) -> int:
        """The number of positions N at L."""
        assert self.latent_size is not None
        return self.latent_size[0] * self.latent_size[1]

    def _total(self, kind: Kind, grid: Grid, name: str, query: torch.Tensor, columns: int) -> torch.Tensor:
        """The running map for one layer and step. Counts the addition."""
        by_layer = self.per_layer or (kind == "cross" and self.config.mean == "geometric")
        where = (kind, grid, name if by_layer else "")
        self._counts[where] = self._counts.get(where, 0) + 1
        if where not in self._sums:
            with _ordinary_tensors():
                self._sums[where] = query.new_zeros(query.shape[0], query.shape[2], columns, dtype=torch.float32)
        return self._sums[where]

    @_ordinary_tensors()
    def maps(
        self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str], *, layers: Layers | None = None
    ) -> list[AttentionMaps]:
        """The means over layers and steps (eq. 5): one AttentionMaps per image of the batch, on the network's device.

        words, prompts: for each image, as in AttentionMaps. layers: average only these captured layers; needs
        `per_layer=True`. Raises UserError if nothing was recorded or attention was not finite.
        """
        if layers is not None and not self.per_layer:
            raise ValueError("a part of the layers needs capture_attention(..., per_layer=True)")
        self._finish()
        if len(words) != self.images or len(prompts) != self.images:
            raise ValueError(
                f"{self.images} images were captured, but words of {len(words)} and {len(prompts)} prompts were given"
            )
        own, cross = (
            {
                grid: mean_of_layers(kind, list(maps.values()), self.config)
                for grid, maps in self._by_grid(kind, layers).items()
            }
            for kind in KINDS
        )
        assert self.latent_size is not None
        return [
            AttentionMaps(
                {grid: tensor[image] for grid, tensor in own.items()},
                {grid: tensor[image] for grid, tensor in cross.items()},
                self.latent_size,
                dict(words[image]),
                prompts[image],
                self.config.normalize,
            )
            for image in range(len(prompts))
        ]

    def maps_of_groups(
        self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str]
    ) -> dict[Layers, list[AttentionMaps]]:
        """Group of the plan, as it was asked for → `maps` of its layers."""
        groups = self.plan.groups
        return {
            asked: self.maps(words, prompts, layers=group if len(groups) > 1 else None)
            for asked, group in groups.items()
        }

    @_ordinary_tensors()
    def layer_maps(self, kind: Kind, image: int) -> dict[Grid, dict[str, torch.Tensor]]:
        """(h, w) → layer name → (N, T) for one image, averaged over steps. Needs `per_layer=True`."""
        if not self.per_layer:
            raise ValueError("layer_maps needs capture_attention(..., per_layer=True)")
        self._finish()
        return {
            grid: {name: tensor[image] for name, tensor in maps.items()} for grid, maps in self._by_grid(kind).items()
        }

    def _by_grid(self, kind: Kind, layers: Layers | None = None) -> dict[Grid, dict[str, torch.Tensor]]:
        names = None if layers is None else self.family.chosen(list(self.layers), by_kind(layers)[kind])
        grids: dict[Grid, dict[str, torch.Tensor]] = {}
        for (of, grid, name), tensor in self._sums.items():
            if of == kind and (names is None or name in names):
                grids.setdefault(grid, {})[name] = tensor
        return dict(sorted(grids.items(), reverse=True))

    def _finish(self) -> None:
        """Turn sums into means, in place, once. Raises UserError if nothing was recorded or attention was not
        finite.
        """
        if self._finished:
            return
        self._scratch.free()
        if not self._sums:
            raise UserError(
                "no attention was captured: the network did not run, or no layer matches the chosen levels and steps"
            )
        names = list(self._finite)
        finite = torch.stack([self._finite[name] for name in names]).isfinite().tolist()
        if not all(finite):
            bad = [name for name, fine in zip(names, finite, strict=True) if not fine]
            raise UserError(
                f"attention of {bad[0]}"
                + (f" and {len(bad) - 1} more layers" if len(bad) > 1 else "")
                + " is not a number: "
                "half precision overflowed; use --dtype float32 or bfloat16"
            )
        for where, tensor in self._sums.items():
            tensor.div_(self._counts[where])
        self._finished = True
