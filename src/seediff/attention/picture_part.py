"""Cuts the picture's part out of a product of attention: the members with the prompt, and the picture's queries.

    a product of the whole batch   (2B, H, N + T, D) queries and as many keys, a mask
    cut_picture                    (B, H, N, D) queries, (B, H, N + T, D) keys, a bias
    by_frames, for clips           (B · F, H, N / F, D) queries, (B · F, H, N / F + T, D) keys, a bias

Shape letters: B images, H heads, N the picture's positions, T columns of text, D channels per head,
F frames.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import UserError
from ..models.families.layers import Spans
from .probabilities import Scores
from .product import Product


def cut_picture(
    product: Product, members: Sequence[int], spans: Spans, positions: int, behind_text: bool
) -> tuple[Scores, Spans]:
    """(scores, spans): the scores of the picture's queries, and where picture and text are among their columns.

    members: those of the batch to keep. spans, positions, behind_text: where the picture is in the product, as in
    `Layer`. Raises UserError for a mask that does not say where the text ends, if the picture is behind it.
    """
    # 1. The members with the prompt
    query, key, mask, scale, sums = product
    query, key = choose(query, members), choose(key, members)
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]
        if len(mask) > 1:
            mask = choose(mask, members)

    # 2. The picture first
    if behind_text and mask is not None:
        order = _picture_first(mask, positions)
        query = query.take_along_dim(order[:, None, :positions, None], 2)
        key, mask = key.take_along_dim(order[:, None, :, None], 2), mask.take_along_dim(order[:, None, None], 3)
        spans = Spans(slice(None), slice(positions), slice(positions, None))

    # 3. The picture's queries
    query = query[:, :, spans.queries]
    if sums is not None:
        sums = choose(sums, members)[:, :, spans.queries]
    if key.shape[1] < query.shape[1]:  # several heads of the queries share one of the keys
        key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    bias = None
    if mask is not None:
        bias = _bias(mask, spans.queries).expand(len(query), -1, -1, key.shape[2])
    return Scores(query, key, scale, bias, sums), spans


def choose(states: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
    """Some members of a batch (its first dimension), without a copy if they follow each other."""
    if members == range(len(states)):
        return states
    if isinstance(members, range):
        return states[members.start : members.stop]
    return torch.stack([states[member] for member in members])  # indices would be copied to the GPU at each call


def _bias(mask: torch.Tensor, queries: slice) -> torch.Tensor:
    """What a mask adds to the scores of some queries, in float32. mask: (B, H, N, T), of which any may be 1."""
    if mask.shape[2] > 1:
        mask = mask[:, :, queries]
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -torch.inf)
    return mask.float()


def _picture_first(mask: torch.Tensor, positions: int) -> torch.Tensor:
    """Column indices (B or 1, S) that bring text, picture (N = positions), padding into the order picture, text,
    padding. With 2 columns of text, 3 positions and 1 column of padding: 2 3 4 0 1 5. mask: (B or 1, 1, 1, S), False
    where a column is padding."""
    if mask.dtype != torch.bool or mask.shape[1:3] != (1, 1):
        raise UserError("attention", "has a mask that does not say where the text ends", "draw without it")
    filled = mask[:, 0, 0].sum(1, keepdim=True)
    columns = torch.arange(mask.shape[3], device=mask.device)
    behind = torch.where(columns < filled, columns - positions, columns)
    return torch.where(columns < positions, columns + filled - positions, behind)


def by_frames(scores: Scores, spans: Spans, frames: int) -> tuple[Scores, Spans]:
    """(scores, spans) with each frame of a clip as a member of its own, which attends to its own positions, then to the
    text. Raises UserError for a mask that hides more than text from all frames."""
    query, keys, bias = split_frames(scores.query, frames), list[torch.Tensor](), scores.bias
    image, text, before_text = spans.image, spans.text, 0
    if bias is not None:
        if image is not None or bias.shape[2] > 1:
            raise UserError("attention", "has a mask over the frames of a clip", "draw without it")
        bias = bias.repeat_interleave(frames, 0)
    if image is not None:
        keys.append(split_frames(scores.key[:, :, image], frames))
        before_text = query.shape[2]
        image = slice(before_text)
    if text is not None:
        keys.append(scores.key[:, :, text].repeat_interleave(frames, 0))
        text = slice(before_text, None)
    return Scores(query, torch.cat(keys, 2), scores.scale, bias), Spans(slice(None), image, text)


def split_frames(states: torch.Tensor, frames: int) -> torch.Tensor:
    """The states (B, H, frames · N, D), each frame as a member of its own: (B · frames, H, N, D)."""
    return states.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)
