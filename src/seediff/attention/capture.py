"""Attention of a UNet while it runs, averaged as it comes: memory does not grow with the number of denoising steps.

    with capture_attention(pipe.unet, CaptureConfig(), guidance=True) as recorder:
        image = pipe("a photo of a dog").images[0]
    maps = recorder.maps([{"dog": (5,)}], ["a photo of a dog"])[0]

The attention processors that the UNet has make its output, unseen and unchanged, so an image is bit-identical to one made
without capture. Forward hooks read the queries and keys as they leave `to_q` and `to_k`; when a layer is done, its
probabilities are computed a second time, in blocks that fit the cache, for the text-conditional half of the batch only,
and their mean over heads is added to the one running map of that resolution. The price is one more QKᵀ and softmax of the
captured half.

Shape letters: B images, H heads, N = R·R queries, T keys (N in self-attention, tokens in cross-attention), D channels a head.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from weakref import WeakSet

import torch

from ..config.constants import CaptureConfig
from ..errors import UserError
from .maps import AttentionMaps

Kind = Literal["self", "cross"]
Layers = Literal["all", "up", "down"]

_captured_unets: WeakSet[torch.nn.Module] = WeakSet()


@contextmanager
def capture_attention(
    unet: Any,
    config: CaptureConfig,
    *,
    guidance: bool,
    total_steps: int | None = None,
    levels: Collection[int] | None = None,
    per_layer: bool = False,
    kinds: Collection[Kind] = ("self", "cross"),
) -> Iterator[AttentionRecorder]:
    """Record the attention of every UNet call inside the `with` block; the UNet is left as it was, whatever happens there.

    Args:
        unet: a UNet2DConditionModel with any attention processors that call `to_q` and `to_k`.
        config: normalisation, which steps, which layers.
        guidance: whether batches are `[unconditional; conditional]` halves, as under classifier-free guidance; only the
            conditional half is recorded. False: all of the batch is conditional.
        total_steps: how many UNet calls there will be; needed for `steps="second-half"`.
        levels: record only the sides L / level, for example (4, 2, 1); None: all there are.
        per_layer: keep one running map per layer instead of one a resolution (`AttentionRecorder.layer_maps`).
        kinds: record only this kind of attention.

    Raises:
        RuntimeError: this UNet is already being captured.
        UserError: the model has attention layers of a kind that this capture does not understand.
    """
    if unet in _captured_unets:
        raise RuntimeError("this UNet's attention is already being captured: end the first `with capture_attention(...)` before the next")
    recorder = AttentionRecorder(config, guidance=guidance, total_steps=total_steps, levels=levels, per_layer=per_layer)
    handles: list[Any] = []
    _captured_unets.add(unet)
    try:
        handles.append(unet.register_forward_pre_hook(recorder.start_step, with_kwargs=True))
        for name, attention in attention_layers(unet, config.layers).items():
            kind: Kind = "cross" if attention.is_cross_attention else "self"
            if kind not in kinds:
                continue
            layer = _Layer(name, kind, recorder)
            handles.append(attention.to_q.register_forward_hook(layer.keep_query))
            handles.append(attention.to_k.register_forward_hook(layer.keep_key))
            handles.append(attention.register_forward_hook(layer.record, with_kwargs=True))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
        _captured_unets.discard(unet)


def attention_layers(unet: Any, layers: Layers = "all") -> dict[str, Any]:
    """The UNet's attention modules by name, in order of their names; "up" and "down" include the middle block.

    Raises UserError for attention whose probabilities are more than softmax(QKᵀ) of `to_q` and `to_k`.
    """
    found = {}
    for key in unet.attn_processors:
        name = key.removesuffix(".processor")
        if not in_group(name, layers):
            continue
        attention = unet.get_submodule(name)
        if attention.added_kv_proj_dim is not None or attention.norm_q is not None or attention.norm_k is not None:
            raise UserError(
                f"attention of {name} has added or normalised queries or keys, which capture does not support; use SD 1.x or 2.x"
            )
        found[name] = attention
    return found


def in_group(name: str, layers: Layers) -> bool:
    """Whether the attention module of that name is one of `layers`; the middle block is on both sides."""
    return layers == "all" or name.startswith((layers, "mid"))


class AttentionRecorder:
    """Running sums of attention, one (B, N, T) float32 buffer per resolution (or layer) and kind."""

    def __init__(
        self, config: CaptureConfig, *, guidance: bool, total_steps: int | None, levels: Collection[int] | None, per_layer: bool
    ) -> None:
        if config.steps == "second-half" and total_steps is None:
            raise ValueError("steps='second-half' needs total_steps")
        self.config = config
        self.guidance = guidance
        self.total_steps = total_steps
        self.levels = levels
        self.per_layer = per_layer
        self.step = -1
        self.recording = False
        self.latent_side: int | None = None
        self.images: int | None = None
        self._sums: dict[tuple[Kind, int, str], torch.Tensor] = {}
        self._counts: dict[tuple[Kind, int, str], int] = {}
        self._peaks: dict[str, torch.Tensor] = {}  # layer → sum of its maxima so far: NaN as soon as one was
        self._finished = False

    def start_step(self, _unet: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the UNet: decides whether this call is recorded."""
        if self._finished:
            raise RuntimeError("the maps of this capture were already taken: start a new one")
        sample = kwargs["sample"] if "sample" in kwargs else args[0]
        batch, _, height, width = sample.shape
        images = batch // 2 if self.guidance else batch
        if height != width:
            raise UserError(f"attention of square images only: latents are {height} × {width}")
        if self.guidance and batch % 2:
            raise ValueError(f"guidance=True needs [unconditional; conditional] halves, but the batch is {batch}")
        if self.latent_side not in (None, height) or self.images not in (None, images):
            raise ValueError(f"one capture is of one batch: {self.images} images of {self.latent_side}², then {images} of {height}²")
        self.latent_side, self.images = height, images
        self.step += 1
        match self.config.steps:
            case "all":
                self.recording = True
            case "second-half":
                assert self.total_steps is not None
                self.recording = self.step >= self.total_steps // 2
            case every:
                self.recording = self.step % every == 0

    def wants(self, side: int) -> bool:
        """Whether maps of this side are to be recorded."""
        assert self.latent_side is not None
        return self.levels is None or any(side * level == self.latent_side for level in self.levels)

    def conditional(self, tensor: torch.Tensor) -> torch.Tensor:
        """The text-conditional part of a batch (first dimension)."""
        return tensor[tensor.shape[0] // 2 :] if self.guidance else tensor

    def add(
        self,
        kind: Kind,
        side: int,
        name: str,
        query: torch.Tensor,
        key: torch.Tensor,
        scale: float,
        bias: torch.Tensor | None,
        *,
        upcast: bool,
    ) -> None:
        """Add the head-mean probabilities of one layer and step; (B, H, N, D), (B, H, T, D) and a bias (B, H, 1 or N, T)."""
        where = (kind, side, name if self.per_layer else "")
        total = self._sums.get(where)
        if total is None:
            with _ordinary_tensors():
                total = query.new_zeros(query.shape[0], query.shape[2], key.shape[2], dtype=torch.float32)
            self._sums[where] = total
        peak = add_probabilities(total, query, key, scale, bias, normalize=self.config.normalize, per_column=kind == "cross", upcast=upcast)
        self._counts[where] = self._counts.get(where, 0) + 1
        self._peaks[name] = self._peaks[name] + peak if name in self._peaks else peak

    def maps(
        self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str], *, layers: Layers | None = None
    ) -> list[AttentionMaps]:
        """The means over layers and steps (eq. 5), one AttentionMaps an image of the batch, on the UNet's device.

        words, prompts: of each image, as AttentionMaps holds them. layers: the mean of only these of the layers captured, which
            needs `per_layer=True`.
        Raises UserError when nothing was recorded or attention was not finite.
        """
        if layers is not None and not self.per_layer:
            raise ValueError("a part of the layers needs capture_attention(..., per_layer=True)")
        with _ordinary_tensors():
            return self._maps(words, prompts, layers)

    def _maps(self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str], layers: Layers | None) -> list[AttentionMaps]:
        self._finish()
        if len(words) != self.images or len(prompts) != self.images:
            raise ValueError(f"{self.images} images were captured, but words of {len(words)} and {len(prompts)} prompts were given")
        means = {
            kind: {
                side: next(iter(maps.values())) if len(maps) == 1 else torch.stack(list(maps.values())).mean(0)
                for side, maps in sides.items()
            }
            for kind, sides in (("self", self._by_side("self", layers)), ("cross", self._by_side("cross", layers)))
        }
        assert self.latent_side is not None
        return [
            AttentionMaps(
                {side: tensor[image] for side, tensor in means["self"].items()},
                {side: tensor[image] for side, tensor in means["cross"].items()},
                self.latent_side,
                dict(words[image]),
                prompts[image],
                self.config.normalize,
            )
            for image in range(len(prompts))
        ]

    def layer_maps(self, kind: Kind, image: int) -> dict[int, dict[str, torch.Tensor]]:
        """side → layer name → (N, T), the mean over steps of one image. Needs `per_layer=True`."""
        if not self.per_layer:
            raise ValueError("layer_maps needs capture_attention(..., per_layer=True)")
        with _ordinary_tensors():
            self._finish()
            return self._layer_maps(kind, image)

    def _layer_maps(self, kind: Kind, image: int) -> dict[int, dict[str, torch.Tensor]]:
        return {side: {name: tensor[image] for name, tensor in maps.items()} for side, maps in self._by_side(kind).items()}

    def layer_counts(self, kind: Kind) -> dict[int, int]:
        """side → how many maps (layers × steps) its mean is of, largest side first."""
        counts: dict[int, int] = {}
        for (of, side, _), count in self._counts.items():
            if of == kind:
                counts[side] = counts.get(side, 0) + count
        return dict(sorted(counts.items(), reverse=True))

    def _by_side(self, kind: Kind, layers: Layers | None = None) -> dict[int, dict[str, torch.Tensor]]:
        sides: dict[int, dict[str, torch.Tensor]] = {}
        for (of, side, name), tensor in self._sums.items():
            if of == kind and (layers is None or in_group(name, layers)):
                sides.setdefault(side, {})[name] = tensor
        return dict(sorted(sides.items(), reverse=True))

    def _finish(self) -> None:
        """Turn sums into means, in place, once; complain about what is not finite."""
        if self._finished:
            return
        if not self._sums:
            raise UserError("no attention was captured: the UNet did not run, or no layer matches the chosen levels and steps")
        names = list(self._peaks)
        finite = torch.stack([self._peaks[name] for name in names]).isfinite().tolist()
        if not all(finite):
            bad = [name for name, fine in zip(names, finite, strict=True) if not fine]
            raise UserError(
                f"attention of {bad[0]}" + (f" and {len(bad) - 1} more layers" if len(bad) > 1 else "") + " is not a number: "
                "half precision overflowed; use --dtype float32 or bfloat16"
            )
        for where, tensor in self._sums.items():
            tensor.div_(self._counts[where])
        self._finished = True


class _Layer:
    """The hooks of one attention module: queries and keys are kept from `to_q` and `to_k` until the module is done."""

    def __init__(self, name: str, kind: Kind, recorder: AttentionRecorder) -> None:
        self.name = name
        self.kind: Kind = kind
        self.recorder = recorder
        self.query: torch.Tensor | None = None
        self.key: torch.Tensor | None = None

    def keep_query(self, _module: Any, _args: Any, output: torch.Tensor) -> None:
        if self.recorder.recording and self.recorder.wants(math.isqrt(output.shape[1])):
            self.query = self.recorder.conditional(output.detach())

    def keep_key(self, _module: Any, _args: Any, output: torch.Tensor) -> None:
        if self.query is not None:
            self.key = self.recorder.conditional(output.detach())

    def record(self, attention: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor) -> None:
        """Forward hook of the attention module."""
        if self.recorder.recording and self.query is None and self.recorder.wants(math.isqrt(output.shape[1])):
            raise UserError(f"{self.name} computed no queries of its own (fused projections?): call pipe.unfuse_qkv_projections() first")
        if self.query is None or self.key is None:
            return
        query, key = self.query, self.key
        self.query = self.key = None
        mask = kwargs.get("attention_mask", args[2] if len(args) > 2 else None)
        bias = None
        if mask is not None:
            batch = output.shape[0]
            bias = attention.prepare_attention_mask(mask, key.shape[1], batch)
            bias = self.recorder.conditional(bias.view(batch, attention.heads, -1, bias.shape[-1]))
        heads = attention.heads
        with torch.no_grad():
            query, key = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (query, key))  # (B, H, N or T, D)
            upcast = attention.upcast_attention or attention.upcast_softmax
            self.recorder.add(self.kind, math.isqrt(query.shape[2]), self.name, query, key, attention.scale, bias, upcast=upcast)


@contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """What is made here is no inference tensor, also under `torch.inference_mode()`: these cannot be changed in place outside it, and
    maps are finished, and used, wherever the caller likes."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def add_probabilities(
    total: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None = None,
    *,
    normalize: bool,
    per_column: bool,
    upcast: bool = False,
) -> torch.Tensor:
    """`total += mean over heads of softmax(scale · QKᵀ + bias)`, divided by its maximum when asked (eq. 5), in place.

    Args:
        total: (B, N, T) float32. query: (B, H, N, D). key: (B, H, T, D). bias: (B, H, 1 or N, T) or None.
        normalize: divide each image's map by its maximum.
        per_column: that maximum is of each key's column (cross-attention: over all tokens it would always be the start
            token's and flatten the others) instead of the whole map.
        upcast: compute scores and probabilities in float32, for models whose scores are too large for half precision.

    Returns: the sum of the maxima, a scalar tensor that is NaN when any probability is.
    """
    images, heads, queries, _ = query.shape
    keys = key.shape[2]
    kind = torch.float32 if upcast else query.dtype
    limit = BLOCK_BYTES.get(query.device.type, BLOCK_BYTES["cuda"]) // kind.itemsize
    group = max(1, min(images, limit // (heads * queries * keys)))  # images at a time: several small maps, or one large
    rows = max(1, min(queries, limit // (group * heads * keys)))
    block = query.new_empty(2, group * heads * rows * keys, dtype=kind)  # scores and probabilities
    scratch = torch.empty_like(total[:group])  # freed on return: the UNet's own peak is elsewhere, and this one hides under it
    peaks = query.new_zeros((), dtype=torch.float32)
    for first in range(0, images, group):
        group_rows = slice(first, min(first + group, images))
        head_means = scratch[: group_rows.stop - group_rows.start]
        transposed_keys = key[group_rows].to(kind).flatten(0, 1).transpose(1, 2)  # (group · H, D, T)
        for start in range(0, queries, rows):
            part = slice(start, min(start + rows, queries))
            shape = (len(transposed_keys), part.stop - part.start, keys)
            scores, probabilities = (x[: math.prod(shape)].view(shape) for x in block)
            torch.baddbmm(scores, query[group_rows, :, part].to(kind).flatten(0, 1), transposed_keys, beta=0, alpha=scale, out=scores)
            if bias is not None:
                scores.unflatten(0, (-1, heads)).add_(bias[group_rows] if bias.shape[2] == 1 else bias[group_rows, :, part])
            torch.softmax(scores, -1, out=probabilities)
            torch.mean(probabilities.unflatten(0, (-1, heads)), 1, dtype=torch.float32, out=head_means[:, part])
        peak = head_means.amax(1 if per_column else (1, 2), keepdim=True)
        peaks += peak.sum()
        if normalize:
            total[group_rows].addcdiv_(head_means, peak.clamp_min_(torch.finfo(torch.float32).tiny))
        else:
            total[group_rows] += head_means
    return peaks


BLOCK_BYTES = {"cpu": 8 << 20, "mps": 32 << 20, "cuda": 64 << 20}
"""How much of the scores is held at once: on a CPU what its cache holds, on a GPU what keeps it busy."""
