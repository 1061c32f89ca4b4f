"""Which rows of a batch have the prompt: those whose text states equal the prompt's.

    the prompt's states ─┐
    the batch's states ──┴▶ match ─▶ the text of each row, or None ─▶ find_rows ─▶ Rows

A state is what the network is given of one text: (T, D), or (T, layers, D). A row is a member of the network's batch,
and has one state. No row is taken by its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Literal

import torch
from torch.utils._pytree import tree_leaves

from ..errors import UserError
from ..models.families.family import NetworkInputs, latents_of

CLOSE = 1e-3
"""The largest distance from the prompt's state, as a share of its norm, at which a state equals it."""
CLEAR = 10
"""How many times as far away the nearest other state must be."""
SAME = 1e-6
"""The largest distance of two states of one text, which may have been encoded in batches of several sizes."""
NAME_STATES = (
    "name the encoded prompt that the loop itself uses, capture(network, prompt='…', tokenizer=pipe.tokenizer,"
    " states=prompt_embeds)"
)
NAME_TEXT = "name the text, capture(pipe, prompt='…')"

Texts = Mapping[str, str]
"""The texts of one picture, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


@dataclass(frozen=True)
class Encoded:
    """Encoded texts: the prompts of the pictures that are drawn together, or their negative prompts."""

    states: Sequence[torch.Tensor]
    """The state of each text; of several pictures, the state of each picture's text."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The pipeline's argument → its texts; empty if only embeddings are known."""
    other_states: Sequence[torch.Tensor] = ()
    """The states of all other texts that the pipeline encoded, such as negative prompts."""
    rule: Literal["one per picture", "any", "all"] = "one per picture"
    """How many rows of a batch must have these texts. any: as the script named their states, or they are negative
    prompts. all: nothing but the batch itself says what the text is."""

    @property
    def count(self) -> int:
        """The number of states."""
        return len(self.states)

    @cached_property
    def order(self) -> list[int | None]:
        """What `match` finds in a batch with one row for each picture. Equal texts have the first one's number."""
        return match(self.states, self.states)

    @cached_property
    def is_negative_too(self) -> bool:
        """Whether one of these texts was encoded once more, as a negative prompt is that equals a prompt."""
        return any(text is not None for text in match(self.states, self.other_states))

    def texts_of(self, number: int) -> Texts:
        """The texts of a state. Raises UserError if the number of texts does not divide the number of states."""
        for texts in self.texts.values():
            if self.count % len(texts):
                problem = f"{len(texts)} texts were given, but {self.count} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        return {name: texts[number * len(texts) // self.count] for name, texts in self.texts.items()}


@dataclass(frozen=True)
class Rows:
    """The rows of a batch that draw the pictures with the prompt."""

    numbers: Sequence[int] = ()
    """Empty in a call of the network without the prompt."""
    texts: Sequence[int] = ()
    """For each row, the number of its text."""
    are_twice: bool = False
    """Whether the batch has the prompts once more, as negative prompts."""


def find_rows(prompt: Encoded, states: Any, inputs: NetworkInputs, *, was_seen: bool) -> Rows:
    """The rows of a batch that draw the pictures with the prompt. states: the text state of each row. inputs: the
    network's inputs. was_seen: whether an earlier call had the prompt. Raises UserError if the rows are unknown.

    In this table, A and B are the prompts of two pictures, and X is another text:

        prompt.rule        batch      rows that draw
        "any"              A X A      0 and 2: all with the prompt, if any
        "all"              A A        0 and 1: UserError if one has another text
        "one per picture"  X X A B    2 and 3
                           X X        none: a call without the prompt. UserError if no earlier call had the prompt, and
                                      the pipeline did not encode X
                           A A B B    UserError, as for any other number of rows with the prompt, or another order
        "one per picture", and is_negative_too, because a negative prompt is A or B:
                           B X A B    2 and 3: the part with the prompts in their order
                           A B A B    0 and 1, if all other inputs of both parts are equal; otherwise UserError
                           B X        none: the call with the negative prompts
                           A B        0 and 1, although this may be the call with the negative prompts
    """
    matched = match(prompt.states, states)
    rows = [row for row, text in enumerate(matched) if text is not None]
    if prompt.rule == "all" and len(rows) < len(matched):
        raise UserError("the network was given several texts, and which is the prompt is unknown", fix=NAME_STATES)
    if prompt.rule != "one per picture" or [matched[row] for row in rows] == prompt.order:
        return _rows(rows, matched)
    if not rows:
        if not was_seen and None in match(prompt.other_states, states):
            raise UserError("the network was given no text that equals the prompt's encoded states", fix=NAME_TEXT)
        return Rows()  # a text that the pipeline encoded, or that a callback put in the prompt's place
    if prompt.is_negative_too and len(matched) == prompt.count:
        return Rows()
    parts = [range(start, start + prompt.count) for start in range(0, len(matched), prompt.count)]
    parts = [part for part in parts if matched[part.start : part.stop] == prompt.order]
    if not (prompt.is_negative_too and parts and _are_equal(parts, inputs, len(matched))):
        problem = f"{len(rows)} rows of a batch of {len(matched)} have the prompt, for {prompt.count} pictures"
        raise UserError(problem, "which of them draw the pictures is unknown", "draw one at a time")
    return _rows(parts[0], matched, are_twice=True)


def _rows(numbers: Sequence[int], matched: Sequence[int | None], *, are_twice: bool = False) -> Rows:
    """Rows with these numbers. matched: the text of each row of the batch."""
    if numbers and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        numbers = range(numbers[0], numbers[-1] + 1)  # which capture takes without a copy
    return Rows(numbers, [matched[number] or 0 for number in numbers], are_twice)


def _are_equal(parts: Sequence[range], inputs: NetworkInputs, batch: int) -> bool:
    """Whether all parts of a batch have the same latents and other inputs."""
    tensors = [leaf for leaf in tree_leaves(dict(inputs)) if torch.is_tensor(leaf) and leaf.shape[:1] == (batch,)]
    for part, tensor in product(parts[1:], [latents_of(inputs), *tensors]):
        pairs = zip(parts[0], part, strict=True)
        if not all(torch.equal(tensor[one], tensor[other]) for one, other in pairs):
            return False
    return True


def match(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[int | None]:
    """For each state of a batch, the number of the first prompt's state that it equals, or None.

    A state of the batch equals a prompt's if it is the prompt's nearest and within CLOSE of it, or within SAME of that
    nearest one. Raises UserError if another state of the batch is less than CLEAR times as far from the prompt's.
    """
    found: list[int | None] = [None] * len(batch_states)
    if not prompt_states or not found:
        return found
    for number, distances in enumerate(_distances(prompt_states, batch_states)):
        best = min(distances)
        if best > CLOSE:
            continue
        from_nearest = distances  # if the nearest state of the batch is the prompt's own
        if best > SAME:
            (from_nearest,) = _distances([batch_states[distances.index(best)]], batch_states)
        for index, distance in enumerate(distances):
            is_nearest = from_nearest[index] <= SAME
            if not is_nearest and distance < CLEAR * best:
                raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
            if is_nearest and found[index] is None:
                found[index] = number
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
