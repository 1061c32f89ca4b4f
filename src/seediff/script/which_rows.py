"""Which rows of a batch have the prompt: those whose text states equal the prompt's.

    the prompt's states ─┐
    the batch's states ──┴▶ match ─▶ the text of each row, or None ─▶ find_rows ─▶ the rows to record

The state of a text is what the network is given of it: (T, D), or (T, layers, D). A row is one member of the network's
batch, and has one state. A row's place in the batch never decides.
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
"""A state equals the prompt's state up to this distance, as a share of the norm of the prompt's state."""
CLEAR = 10
"""Any other state must be at least this many times as far from the prompt's state as the nearest state is."""
SAME = 1e-6
"""Two states up to this distance are of one text, which may have been encoded in batches of several sizes."""
NAME_STATES = (
    "name the encoded prompt that the loop itself uses, capture(network, prompt='…', tokenizer=pipe.tokenizer,"
    " states=prompt_embeds)"
)
NAME_TEXT = "name the text, capture(pipe, prompt='…')"

Texts = Mapping[str, str]
"""The texts of one picture, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


@dataclass(frozen=True)
class Encoded:
    """Texts as a pipeline encoded them for the pictures of one call: all prompts, or all negative prompts."""

    states: Sequence[torch.Tensor]
    """The state of each text; if several pictures have one text, its state once for each picture."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The pipeline's argument → its texts; empty if the pipeline was given only embeddings."""
    other_states: Sequence[torch.Tensor] = ()
    """The states of all other texts that the pipeline encoded, such as negative prompts."""
    rule: Literal["one per picture", "any", "all"] = "one per picture"
    """How many rows of a batch must have these texts (`find_rows` has a table). "any": the script named the states, or
    they are negative prompts. "all": nothing but the batch itself says what the text is."""

    @property
    def count(self) -> int:
        """The number of states."""
        return len(self.states)

    @cached_property
    def order(self) -> list[int | None]:
        """What `match` returns for a batch with one row for each picture. Equal texts have the number of the first of
        them: the prompts A, B, A give [0, 1, 0]."""
        return match(self.states, self.states)

    def texts_of(self, number: int) -> Texts:
        """The texts of state `number`. Raises UserError if the number of texts does not divide the number of states."""
        for texts in self.texts.values():
            if self.count % len(texts):
                problem = f"{len(texts)} texts were given, but {self.count} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        return {name: texts[number * len(texts) // self.count] for name, texts in self.texts.items()}


def find_rows(prompt: Encoded, states: Sequence[torch.Tensor], *, was_seen: bool) -> dict[int, int]:
    """Row → the number of its text in `prompt`, for the rows of a batch that draw the pictures; empty in a call without
    the prompt.

    states: the text state of each row. was_seen: whether an earlier call had the prompt. In this table, A and B are the
    prompts of two pictures, and X is another text:

        prompt.rule        batch      rows that draw
        "any"              A X A      0 and 2: all with the prompt, if any
        "all"              A A        0 and 1; a row with another text is a UserError
        "one per picture"  X X A B    2 and 3
                           X X        none. UserError if no earlier call had the prompt, and X was not encoded
                           A B A B    UserError: other rows than one for each picture, in the pictures' order
    """
    matched = {row: text for row, text in enumerate(match(prompt.states, states)) if text is not None}
    if prompt.rule == "all" and len(matched) < len(states):
        raise UserError("the network was given several texts, and which is the prompt is unknown", fix=NAME_STATES)
    if prompt.rule != "one per picture" or list(matched.values()) == prompt.order:
        return matched
    if matched:
        problem = f"{len(matched)} rows of a batch of {len(states)} have the prompt, for {prompt.count} pictures"
        raise UserError(problem, "which of them draw the pictures is unknown", "draw one at a time")
    if not was_seen and None in match(prompt.other_states, states):
        raise UserError("the network was given no text that equals the prompt's encoded states", fix=NAME_TEXT)
    return {}  # a text that the pipeline encoded, or that a callback put in the prompt's place


def match(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[int | None]:
    """For each state of a batch, the number of the first prompt's state that it equals, or None.

    The batch's state that is nearest to a prompt's state equals it if it is within CLOSE. So does every other state of
    the batch within SAME of that nearest state. Raises UserError if any further state of the batch is less than CLEAR
    times as far from the prompt's state.
    """
    found: list[int | None] = [None] * len(batch_states)
    if not prompt_states or not found:
        return found
    for number, distances in enumerate(_distances(prompt_states, batch_states)):
        best = min(distances)
        if best > CLOSE:
            continue
        from_nearest = distances  # the nearest state is the prompt's own
        if best > SAME:
            (from_nearest,) = _distances([batch_states[distances.index(best)]], batch_states)
        for row, distance in enumerate(distances):
            is_nearest = from_nearest[row] <= SAME
            if not is_nearest and distance < CLEAR * best:
                raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
            if is_nearest and found[row] is None:
                found[row] = number
    return found


def _distances(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[list[float]]:
    """For each state of the prompt, its distance from each state of the batch, as a share of its norm."""
    each = torch.stack([_distance(one, other) for one, other in product(prompt_states, batch_states)])
    return each.nan_to_num(torch.inf).view(len(prompt_states), -1).tolist()  # waits for a GPU once


def _distance(prompt_state: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The distance of two states in the columns that both have, because padding may be cut off."""
    if prompt_state.shape[1:] != state.shape[1:]:
        return torch.full((), torch.inf, device=state.device)
    columns = min(len(prompt_state), len(state))
    one, other = prompt_state[:columns].to(state).float(), state[:columns].float()
    norm = one.norm().clamp_min(torch.finfo(torch.float32).tiny)
    return (one - other).norm() / norm
