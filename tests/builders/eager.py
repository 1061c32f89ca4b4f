"""Attention by the book: float64, eager, everything kept, from what each attention module was given. Written without the package's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seediff.models.registry import Model

Probabilities = Callable[[Any, torch.Tensor, dict[str, Any]], torch.Tensor]
"""(attention module in float64, hidden states, its other arguments) → (B, H, S, S or T), queries and keys in the order of the product."""

Columns = Callable[[Model, int, Sequence[str]], tuple[slice, slice]]
"""(model, N, prompts of the batch) → the picture's and the text's among all columns of joint attention."""


def guided(guidance: float, negative: str) -> dict[str, Any]:
    """What most pipelines are told of guidance, for two prompts."""
    return {"guidance_scale": guidance} | ({"negative_prompt": [negative] * 2} if guidance > 1 else {})


@dataclass(frozen=True)
class Book:
    """A family's twin, and its attention by the book.

    save: the twin into a folder; variants: others of the family. attention: what a layer's probabilities are. columns: None: no attention
    is joint. first: a guided batch has the prompts in its first half, not the second. calls: 2: it is two calls, with the prompt and
    without. plain: (guidance, negative prompt) → what diffusers' pipeline is told for that. level: what the network is told of
    timestep 100. padded: whether every prompt gets as many columns as the longest may have.
    """

    save: Callable[[Path], Path]
    attention: Probabilities
    columns: Columns | None = None
    first: bool = False
    calls: int = 1
    variants: Mapping[str, Callable[[Path], Path]] = field(default_factory=dict)
    plain: Callable[[float, str], dict[str, Any]] = guided
    level: float = 100
    padded: bool = True


class Seen(NamedTuple):
    """One call of one layer."""

    name: str
    probabilities: torch.Tensor


@contextmanager
def everything_kept(network: Any, names: Mapping[str, Probabilities]) -> Iterator[list[Seen]]:
    """Probabilities of the layers called so, of every call inside the `with` block."""
    kept: list[Seen] = []
    handles = []
    for name, probabilities in names.items():
        module = network.get_submodule(name)

        def keep(module: Any, args: Any, kwargs: Any, *, name: str = name, way: Probabilities = probabilities) -> None:
            # One layer's at a time: a published shape has gigabytes of them. What captures is not copied.
            exact = deepcopy(module, {id(processor := module.processor): processor}).double()
            given = {key: _double(value) for key, value in kwargs.items() if key != "hidden_states"}
            hidden = _double(kwargs["hidden_states"] if "hidden_states" in kwargs else args[0])
            with torch.no_grad():
                kept.append(Seen(name, way(exact, hidden, given)))

        handles.append(module.register_forward_pre_hook(keep, with_kwargs=True))
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def means(
    kept: list[Seen], images: int, picture: slice, text: slice, *, normalize: bool = True, share: str = "row", first: bool = False
) -> dict[tuple[str, int], torch.Tensor]:
    """Equation 5: (kind, N) → (images, N, columns), of the last `images` of each batch; of the first ones with `first`.

    picture, text: columns of joint attention; others are told by their names. share: "text": words' part of what text gets in all.
    """
    found = defaultdict(list)
    for name, probabilities in kept:
        every = probabilities[:images] if first else probabilities[-images:]
        if name.endswith(("attn1", "attn2")):
            parts = {"self" if every.shape[2] == every.shape[3] else "cross": every}
        else:
            rows = every[:, :, picture]
            words = rows[..., text]
            parts = {"self": rows[..., picture], "cross": words / words.sum(-1, keepdim=True) if share == "text" else words}
        for kind, part in parts.items():
            if not part.shape[3]:  # a layer of the picture alone
                continue
            mean = part.mean(1)
            if normalize:
                peak = mean.amax((1, 2), keepdim=True) if kind == "self" else mean.amax(1, keepdim=True)
                mean = mean / peak.clamp_min(torch.finfo(torch.float32).tiny)  # a column of padding stays 0
            found[kind, mean.shape[1]].append(mean)
    return {where: torch.stack(maps).mean(0) for where, maps in found.items()}


def heads(states: torch.Tensor, count: int) -> torch.Tensor:
    """(B, S, H·D) → (B, H, S, D)."""
    return states.unflatten(2, (count, -1)).transpose(1, 2)


def softmax_of(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """mask: (B, S) bool, False is hidden, or what is added to the scores (B, 1, S, S)."""
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def cross_or_self(attention: Any, hidden: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """A UNet's or PixArt's: keys of the text where there is one, and its padding hidden by a bias."""
    context = given.get("encoder_hidden_states")
    query = heads(attention.to_q(hidden), attention.heads)
    key = heads(attention.to_k(hidden if context is None else context), attention.heads)
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    bias = given.get("attention_mask")  # (B, 1, T)
    return (scores if bias is None else scores + bias[:, None]).softmax(-1)


def _double(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            return value.detach().to(torch.complex128)
        return value.detach().double() if value.is_floating_point() else value.detach()
    return tuple(map(_double, value)) if isinstance(value, tuple) else value
