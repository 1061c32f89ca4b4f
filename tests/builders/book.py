"""Every family's twin, and its attention by the book: what a layer's probabilities are, and where picture and text are in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from builders import language_twins, twins
from builders.eager import Probabilities, cross_or_self, heads, softmax_of

from seediff.models.families import FAMILIES
from seediff.models.families.base import Family
from seediff.models.registry import Model

Columns = Callable[[Model, int, Sequence[str]], tuple[slice, slice]]
"""(model, N, prompts of the batch) → the picture's and the text's among all columns of joint attention."""


@dataclass(frozen=True)
class Book:
    """save: the twin into a folder. columns: None: no attention is joint. first: a guided batch has the prompts in its first half, not the
    second. calls: 2: it is two calls, with the prompt and without."""

    save: Callable[[Path], Path]
    attention: Probabilities
    columns: Columns | None = None
    first: bool = False
    calls: int = 1


def separate(attention: Any, hidden: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """JointAttnProcessor2_0 (SD 3) by hand: the picture's queries and keys, then the text's, each after its own norm."""

    def states(source: torch.Tensor, project: str, norm: str) -> torch.Tensor:
        projected = heads(getattr(attention, project)(source), attention.heads)
        own = getattr(attention, norm)
        return projected if own is None else own(projected)

    text = given.get("encoder_hidden_states")
    query, key = [states(hidden, "to_q", "norm_q")], [states(hidden, "to_k", "norm_k")]
    if text is not None:
        query.append(states(text, "add_q_proj", "norm_added_q"))
        key.append(states(text, "add_k_proj", "norm_added_k"))
    return softmax_of(torch.cat(query, 2), torch.cat(key, 2))


def packed(attention: Any, hidden: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """FluxAttnProcessor by hand; the rotation as a product of complex numbers. Chroma's mask goes to the product as it comes, truth values
    or numbers to add."""
    cos, sin = given["image_rotary_emb"]  # (S, D), each value twice
    turn = torch.complex(cos[:, ::2], sin[:, ::2])
    text = given.get("encoder_hidden_states")
    both = []
    for which in ("q", "k"):
        split = getattr(attention, f"to_{which}")(hidden).unflatten(2, (attention.heads, -1))
        states = getattr(attention, f"norm_{which}")(split)
        if text is not None:
            added = getattr(attention, f"add_{which}_proj")(text).unflatten(2, (attention.heads, -1))
            states = torch.cat([getattr(attention, f"norm_added_{which}")(added), states], 1)
        pairs = torch.view_as_complex(states.transpose(1, 2).unflatten(3, (-1, 2)).contiguous())
        both.append(torch.view_as_real(pairs * turn).flatten(3))
    mask = given.get("attention_mask")  # (B, 1, S, S)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).double().masked_fill(~mask, -torch.inf)
    return softmax_of(*both, mask)


def single(attention: Any, hidden: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """ZSingleStreamAttnProcessor by hand; each image has its own positions."""
    both = []
    for which in ("q", "k"):
        states = getattr(attention, f"to_{which}")(hidden).unflatten(2, (attention.heads, -1))
        states = getattr(attention, f"norm_{which}")(states).transpose(1, 2)
        pairs = torch.view_as_complex(states.unflatten(3, (-1, 2)).contiguous())
        both.append(torch.view_as_real(pairs * given["freqs_cis"][:, None]).flatten(3))
    return softmax_of(*both, given["attention_mask"])


def double(attention: Any, hidden: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """QwenDoubleStreamAttnProcessor2_0 by hand: each stream is turned by itself."""
    text = given["encoder_hidden_states"]
    both = []
    for which in ("q", "k"):
        own = [
            (getattr(attention, f"add_{which}_proj")(text), getattr(attention, f"norm_added_{which}"), given["image_rotary_emb"][1]),
            (getattr(attention, f"to_{which}")(hidden), getattr(attention, f"norm_{which}"), given["image_rotary_emb"][0]),
        ]
        turned = []
        for states, norm, turn in own:
            split = norm(states.unflatten(2, (attention.heads, -1))).transpose(1, 2)
            pairs = torch.view_as_complex(split.unflatten(3, (-1, 2)).contiguous())
            turned.append(torch.view_as_real(pairs * turn).flatten(3))
        both.append(torch.cat(turned, 2))
    mask = given["encoder_hidden_states_mask"]
    return softmax_of(*both, None if mask is None else torch.cat([mask, torch.ones(hidden.shape[:2]).bool()], 1))


def masked_cross(attention: Any, hidden: torch.Tensor, given: dict[str, Any]) -> torch.Tensor:
    """SanaAttnProcessor2_0 by hand: norms go over all heads at once."""
    query, key = attention.to_q(hidden), attention.to_k(given["encoder_hidden_states"])
    if attention.norm_q is not None:
        query, key = attention.norm_q(query), attention.norm_k(key)
    query, key = heads(query, attention.heads), heads(key, attention.heads)
    return (query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + given["attention_mask"][:, None]).softmax(-1)


QWEN_CUT = 34
"""Tokens of Qwen-Image's template that come before the prompt."""


def picture_first(_model: Model, positions: int, _prompts: Sequence[str]) -> tuple[slice, slice]:
    return slice(0, positions), slice(positions, None)


def filled_up(_model: Model, positions: int, _prompts: Sequence[str]) -> tuple[slice, slice]:
    """What fills the picture up to a multiple of 32 is neither."""
    return slice(0, positions), slice(-(-positions // 32) * 32, None)


def behind_t5(_model: Model, positions: int, _prompts: Sequence[str]) -> tuple[slice, slice]:
    return slice(512, 512 + positions), slice(0, 512)


def behind_the_longest(model: Model, positions: int, prompts: Sequence[str]) -> tuple[slice, slice]:
    template = model.pipe.prompt_template_encode
    text = max(len(model.pipe.tokenizer(template.format(prompt)).input_ids) for prompt in prompts) - QWEN_CUT
    return slice(text, text + positions), slice(0, text)


BOOKS = {
    "unet": Book(twins.save_unet, cross_or_self),
    "lcm": Book(twins.save_lcm, cross_or_self),
    "xl": Book(twins.save_xl, cross_or_self),
    "sd3": Book(twins.save_sd3, separate, picture_first),
    "flux": Book(twins.save_flux, packed, behind_t5),
    "pixart": Book(twins.save_pixart, cross_or_self),
    "z_image": Book(language_twins.save_z_image, single, filled_up, first=True),
    "chroma": Book(language_twins.save_chroma, packed, behind_t5, calls=2),
    "qwen_image": Book(language_twins.save_qwen_image, double, behind_the_longest, calls=2),
    "sana": Book(language_twins.save_sana, masked_cross),
}
"""Name of a file in models/families → its book."""


def file_of(family: Family) -> str:
    """The name of the family's file."""
    return type(family).__module__.rpartition(".")[2]


FILES = {file_of(family): family for family in FAMILIES}


def book_of(model: Model) -> Book:
    return BOOKS[file_of(model.family)]
