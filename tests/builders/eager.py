"""Reference attention ("by the book"): computed eagerly in float64 from the inputs of each attention module, with
everything kept. Shares no code with the package's attention."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seediff.models.registry import Model

Probabilities = Callable[[Any, torch.Tensor, dict[str, Any]], torch.Tensor]
"""(attention module in float64, hidden states, its other arguments) → (B, H, S, S or T), queries and keys in the order
of the product.
"""

Columns = Callable[[Model, int, Sequence[str]], tuple[slice, slice]]
"""(model, N, prompts of the batch) → the picture's columns and the text's columns in joint attention."""


def guided(guidance, negative):
    """The arguments for guidance that most pipelines take, for two prompts."""
    return {"guidance_scale": guidance} | ({"negative_prompt": [negative] * 2} if guidance > 1 else {})


@dataclass(frozen=True)
class Book:
    """A family's twin, and its reference attention.

    save: saves the twin into a folder; variants: the same for other twins of the family. attention: computes a layer's
    probabilities. columns: None: no attention is joint. first: whether the prompts are in the first half of a guided
    batch, not the second. calls: 2 if guidance makes two calls, with the prompt and without. plain: (guidance, negative
    prompt) → the arguments of diffusers' pipeline for them. level: the network's input for timestep 100. padded:
    whether every prompt gets as many columns as the longest possible one. alone: whether a picture does not depend on
    the other prompts of its batch. learnt: how many columns the network itself puts before the encoded text.
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
    alone: bool = True
    learnt: int = 0


class Seen(NamedTuple):
    """One call of one layer."""

    name: str
    probabilities: torch.Tensor


@contextmanager
def everything_kept(network, names):
    """Collects the probabilities of the layers in `names`, of every call inside the `with` block."""
    kept = []
    handles = []
    for name, probabilities in names.items():
        module = network.get_submodule(name)

        def keep(module, args, kwargs, *, name=name, way=probabilities):
            # One layer at a time, because a published shape has gigabytes of weights. The processor, which captures, is
            # not copied.
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
    kept,
    images,
    image,
    text,
    *,
    normalize=True,
    share="row",
    first=False,
):
    """Means by equation 5: (kind, N) → (images, N, columns), of the last `images` rows of each batch, or with `first`
    of the first.

    image, text: columns of joint attention; other layers are recognised by their names. share: "text" divides each
    column of the text by their sum.
    """
    found = defaultdict(list)
    for name, probabilities in kept:
        every = probabilities[:images] if first else probabilities[-images:]
        if name.endswith(("attn1", "attn2")):
            parts = {"self" if every.shape[2] == every.shape[3] else "cross": every}
        else:
            rows = every[:, :, image]
            words = rows[..., text]
            parts = {
                "self": rows[..., image],
                "cross": words / words.sum(-1, keepdim=True) if share == "text" else words,
            }
        for kind, part in parts.items():
            if not part.shape[3]:  # a layer of the picture alone
                continue
            mean = part.mean(1)
            if normalize:
                peak = mean.amax((1, 2), keepdim=True) if kind == "self" else mean.amax(1, keepdim=True)
                mean = mean / peak.clamp_min(torch.finfo(torch.float32).tiny)  # a column of padding stays 0
            found[kind, mean.shape[1]].append(mean)
    return {where: torch.stack(maps).mean(0) for where, maps in found.items()}


def heads(states, count):
    """(B, S, H·D) → (B, H, S, D)."""
    return states.unflatten(2, (count, -1)).transpose(1, 2)


def rotated(states, turn):
    """States (B, H, S, D) whose neighbouring channels are multiplied as complex numbers by `turn` (…, S, D/2)."""
    pairs = torch.view_as_complex(states.unflatten(3, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turn).flatten(3)


def softmax_of(query, key, mask=None):
    """Attention probabilities. mask: (B, S) bool, where False is hidden, or numbers (B, 1, S, S) to add to the
    scores.
    """
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None], -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def cross_or_self(attention, hidden, given):
    """Attention of a UNet or PixArt: keys are the text's if a text is given, and a bias hides its padding."""
    context = given.get("encoder_hidden_states")
    query = heads(attention.to_q(hidden), attention.heads)
    key = heads(attention.to_k(hidden if context is None else context), attention.heads)
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
    bias = given.get("attention_mask")  # (B, 1, T)
    return (scores if bias is None else scores + bias[:, None]).softmax(-1)


def _double(value):
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            return value.detach().to(torch.complex128)
        return value.detach().double() if value.is_floating_point() else value.detach()
    return tuple(map(_double, value)) if isinstance(value, tuple) else value
