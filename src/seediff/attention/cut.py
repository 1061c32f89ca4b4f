"""`Cut`: what of a product of attention is the picture's, and how it is cut out.

Shape letters: B images, H heads, N the picture's positions, T columns of text, D channels per head, F frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..errors import UserError
from ..models.layers import Grid, Kind, Spans
from .probabilities import ALL, Scores
from .product import Product


@dataclass(frozen=True)
class Cut:
    """What is the picture's in products of some sizes."""

    members: Sequence[int]
    """The members of the batch with the prompt."""
    spans: Spans
    """Where picture and text are in the product."""
    grid: Grid
    """(h, w) of the maps."""
    columns: Mapping[Kind, slice]
    """Kind of attention → its columns of the scores, of one frame."""


def cut_picture(product: Product, cut: Cut) -> Scores:
    """The scores of the picture's queries, of the members with the prompt. product: the whole batch's."""
    # 1. The members with the prompt
    query, key, mask, scale = product
    query, key = choose(query, cut.members), choose(key, cut.members)
    if mask is not None:
        while mask.ndim < 4:
            mask = mask[None]
        if len(mask) > 1:
            mask = choose(mask, cut.members)

    # 2. The picture's queries
    if cut.spans.queries != ALL:
        query = query[:, :, cut.spans.queries]
    if key.shape[1] < query.shape[1]:  # several heads of the queries share one of the keys
        key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    bias = None
    if mask is not None:
        bias = _bias(mask, cut.spans.queries).expand(len(query), -1, -1, key.shape[2])
    return Scores(query, key, scale, bias)


def choose(states: torch.Tensor, members: Sequence[int]) -> torch.Tensor:
    """Some members of the states (B, …): (len(members), …). Members that follow each other are not copied."""
    if members == range(states.shape[0]):
        return states
    if isinstance(members, range):
        return states[members.start : members.stop]
    return torch.stack([states[member] for member in members])  # indices would be copied to the GPU at each call


def _bias(mask: torch.Tensor, queries: slice) -> torch.Tensor:
    """What a mask adds to the scores of some queries, in float32: −inf where it hides a column. mask: (B, H, N, T); any
    of these sizes may be 1."""
    if mask.shape[2] > 1:
        mask = mask[:, :, queries]
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -torch.inf)
    return mask.float()


def columns_of_frame(spans: Spans, positions: int, frames: int) -> Spans:
    """Where picture and text are in the scores of one frame, from `by_frames`. spans: where they are in a member.
    positions, frames: the numbers of positions and frames in a member."""
    if frames == 1:
        return spans
    before_text = 0
    _, image, text = spans
    if image is not None:
        before_text = positions // frames
        image = slice(before_text)
    if text is not None:
        text = slice(before_text, None)
    return spans._replace(image=image, text=text)


def by_frames(scores: Scores, spans: Spans, frames: int) -> Scores:
    """The scores with each frame of a clip as a member of its own. A frame's columns are its own positions, then the
    text. spans: where picture and text are in the scores. frames: the number of frames in a member. Raises UserError
    for a mask that hides more than text from all frames."""
    keys = list[torch.Tensor]()
    bias = scores.bias
    _, image, text = spans
    if bias is not None:
        if image is not None or bias.shape[2] > 1:
            raise UserError("attention", "has a mask over the frames of a clip", "draw without it")
        bias = bias.repeat_interleave(frames, 0)
    if image is not None:
        keys.append(split_frames(scores.key[:, :, image], frames))
    if text is not None:
        keys.append(scores.key[:, :, text].repeat_interleave(frames, 0))
    return Scores(split_frames(scores.query, frames), torch.cat(keys, 2), scores.scale, bias)


def split_frames(states: torch.Tensor, frames: int) -> torch.Tensor:
    """States (B, H, frames · N, D) with each frame as a member of its own: (B · frames, H, N, D)."""
    return states.unflatten(2, (frames, -1)).transpose(1, 2).flatten(0, 1)
