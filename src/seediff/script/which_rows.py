"""Which rows of a network's batch have the prompt: the rows whose state equals the state of a prompt.

    the prompts' states ─┐
    the batch's states ──┴▶ match ─▶ the number of each row's prompt, or None ─▶ find_rows ─▶ the rows to record

A row is one member of the network's batch: one picture with one text. The state of a text is its encoding, which the
network is given: (T, D), or (T, layers, D), with a vector for each of T columns. With guidance, other rows have the
negative prompt. Pipelines order rows in different ways, therefore a row's place in the batch never decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Literal

import torch

from ..errors import UserError

CLOSE = 1e-3
"""The maximum distance at which a state equals the prompt's state, as a share of the norm of the prompt's state."""
CLEAR = 10
"""If a state equals the prompt's state, any other state must be at least this many times as far away: with the nearest
state at a distance of 2e-4, at least 2e-3."""
SAME = 1e-6
"""The maximum distance, on the scale of CLOSE, between two states of one text. They may differ at all because the text
encoder rounds differently in batches of different sizes."""
NAME_STATES = "name the encoded prompt that the network is given, capture(…, prompt='…', states=prompt_embeds)"
NAME_TEXT = "name the text, capture(pipe, prompt='…')"

Texts = Mapping[str, str]
"""The texts of one picture, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


@dataclass(frozen=True)
class Encoded:
    """The encoded texts of one kind for the pictures of one call: all prompts, or all negative prompts."""

    states: Sequence[torch.Tensor]
    """The state of each picture's text. If several pictures have one text, its state comes once for each of them."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Argument of the pipeline → its texts, for example {"prompt": ["a dog", "a cat"]}; empty if the pipeline was given
    only embeddings."""
    other_states: Sequence[torch.Tensor] = ()
    """The states of all other encoded texts, such as negative prompts."""
    rule: Literal["one per picture", "any", "all"] = "one per picture"
    """How many rows of a batch must have these texts (`find_rows` has a table). "any": the script named the states, or
    they are negative prompts. "all": only the batch itself says what the text is."""

    @cached_property
    def order(self) -> list[int | None]:
        """What `match` returns for a batch with one row for each picture, in the pictures' order. A repeated text has
        the number of its first copy: the prompts A, B, A give [0, 1, 0]."""
        return match(self.states, self.states)

    def texts_of(self, number: int) -> Texts:
        """The texts of one state. number: the state's number. For example, 2 texts and 4 states: states 0 and 1 have
        the first text. Raises UserError if the number of states is no multiple of the number of texts."""
        count = len(self.states)
        for texts in self.texts.values():
            if count % len(texts):
                problem = f"{len(texts)} texts were given, but {count} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        return {name: texts[number * len(texts) // count] for name, texts in self.texts.items()}


NO_TEXT = Encoded((), rule="any")
"""Stands for texts that are not known, which no row of a batch has."""


def find_rows(prompt: Encoded, states: Sequence[torch.Tensor], *, was_seen: bool) -> dict[int, int]:
    """Row → the number of its prompt, for the rows of a batch that have a prompt and therefore draw the pictures; empty
    in a call without a prompt.

    prompt: the encoded prompts. states: the state of each row. was_seen: whether an earlier call had the prompts. In
    this table, A and B are the prompts of two pictures, and X is another text:

        prompt.rule        batch      rows that draw
        "any"              A X A      0 and 2: every row with a prompt
        "all"              A A        0 and 1
                           A X        UserError: a row has another text
        "one per picture"  X X A B    2 and 3
                           X X        no row; a UserError if no earlier call had the prompts, and X is unknown
                           A B A B    UserError: there must be one row for each picture, in the pictures' order
    """
    matched = {row: text for row, text in enumerate(match(prompt.states, states)) if text is not None}
    if prompt.rule == "all" and len(matched) < len(states):
        fix = f"{NAME_STATES}, with tokenizer=pipe.tokenizer"
        raise UserError("the network was given several texts, and which is the prompt is unknown", fix=fix)
    if prompt.rule != "one per picture" or list(matched.values()) == prompt.order:
        return matched
    if matched:
        problem = f"{len(matched)} rows of a batch of {len(states)} have the prompt, for {len(prompt.states)} pictures"
        fix = "draw one at a time"
        if len(prompt.states) == 1:
            fix = "capture its network, capture(pipe.unet, states=prompt_embeds), where each row is a picture"
        raise UserError(problem, "which of them draw the pictures is unknown", fix)
    if not was_seen and None in match(prompt.other_states, states):
        raise UserError("the network was given no text that equals the prompt's encoded states", fix=NAME_STATES)
    return {}  # the pipeline encoded this text, or a callback put it in the prompt's place


def match(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[int | None]:
    """For each state of a batch, the number of the first prompt that it equals, or None.

    A prompt is matched with the nearest state of the batch, if that is at most CLOSE away, and with every copy of that
    state, which is at most SAME away from it. All other states are other texts. Raises UserError if one of them is less
    than CLEAR times as far from the prompt as the nearest state: then which of the two is the prompt's is unclear.

        distances from a prompt     result
        2e-4, 2e-4, 0.7             the first two states have the prompt, if they are copies of each other
        2e-4, 1e-3, 0.7             UserError: the second state is another text, and too near
        0.5, 0.6, 0.7               no state has the prompt
    """
    found: list[int | None] = [None] * len(batch_states)
    if not prompt_states or not found:
        return found
    for number, distances in enumerate(_distances(prompt_states, batch_states)):
        least = min(distances)
        if least > CLOSE:
            continue
        # Distances from the nearest state. If it has the prompt's values, these are the distances from the prompt.
        from_nearest = distances
        if least > SAME:
            (from_nearest,) = _distances([batch_states[distances.index(least)]], batch_states)
        for row, distance in enumerate(distances):
            is_nearest = from_nearest[row] <= SAME
            if not is_nearest and distance < CLEAR * least:
                raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
            if is_nearest and found[row] is None:
                found[row] = number
    return found


def _distances(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[list[float]]:
    """(P lists of B numbers): the distance from each prompt's state to each state of the batch, as `_distance`."""
    each = torch.stack([_distance(one, other) for one, other in product(prompt_states, batch_states)])
    return each.nan_to_num(torch.inf).view(len(prompt_states), -1).tolist()  # waits for a GPU once


def _distance(prompt_state: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The distance of two states as a share of the first state's norm. The states may have different numbers of
    columns, because padding may be cut off; then only the columns present in both are compared. If their other
    dimensions differ, the distance is infinite."""
    if prompt_state.shape[1:] != state.shape[1:]:
        return torch.full((), torch.inf, device=state.device)
    columns = min(len(prompt_state), len(state))
    one, other = prompt_state[:columns].to(state).float(), state[:columns].float()
    norm = one.norm().clamp_min(torch.finfo(torch.float32).tiny)
    return (one - other).norm() / norm
