"""Which rows of a network's batch have the prompt: the rows whose state equals the state of a prompt.

    the family's word, where they are ─┐
    the prompts' states ───────────────┼▶ find_rows ─▶ the rows to record
    the batch's states ────────────────┘

A row is one member of the network's batch: one picture with one text. The state of a text is its encoding, which the
network is given: (T, D), or (T, layers, D), with a vector for each of T columns. With guidance, other rows have the
negative prompt. The family says where the rows with the prompt are, and equal states prove it. Other pipelines order
rows in other ways: there, only copies of the prompt's state count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, NamedTuple

import torch

from ..errors import UserError
from ..models.families.family import Family

EQUAL = 1e-3
"""The maximum distance between equal states, as a share of the first state's norm. They may differ because the text
encoder rounds differently in batches of different sizes."""
NAME_STATES = "name the encoded prompt that the network is given, capture(…, prompt='…', states=prompt_embeds)"
NAME_TEXT = "name the text, capture(pipe, prompt='…')"

Texts = Mapping[str, str]
"""The texts of one picture, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


class Processed(NamedTuple):
    """A text with pictures in it, as a pipeline's processor read it."""

    text: str
    """The text, with one mark for each picture."""
    tokens: list[int]
    """Its tokens, of which each picture has several, equal ones."""


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
    processed: Sequence[Processed] = ()
    """What a processor read of each text; empty if there is none."""

    def texts_of(self, number: int) -> Texts:
        """The texts of one state. number: the state's number. For example, 2 texts and 4 states: states 0 and 1 have
        the first text. Raises UserError if the number of states is no multiple of the number of texts."""
        count = len(self.states)
        for texts in self.texts.values():
            if count % len(texts):
                problem = f"{len(texts)} texts were given, but {count} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        return {name: texts[number * len(texts) // count] for name, texts in self.texts.items()}

    def processed_of(self, number: int) -> Processed | None:
        """What a processor read of one state's text; None if that is not known. number: the state's number."""
        count = len(self.states)
        if not self.processed or count % len(self.processed):
            return None
        return self.processed[number * len(self.processed) // count]

    @property
    def has_equal(self) -> bool:
        """Whether another text equals a prompt, such as the negative prompt. A shorter text that begins like the prompt
        is another text."""
        pairs = product(self.states, self.other_states)
        return any(one.shape == other.shape and bool(_distance(one, other) <= EQUAL) for one, other in pairs)


NO_TEXT = Encoded((), rule="any")
"""Stands for texts that are not known, which no row of a batch has."""


def find_rows(
    prompt: Encoded, states: Sequence[torch.Tensor], family: Family, *, was_seen: bool, knows_order: bool = False
) -> dict[int, int]:
    """Row → the number of its prompt, for the rows of a batch that have a prompt and therefore draw the pictures; empty
    in a call without a prompt.

    prompt: the encoded prompts. states: the state of each row. was_seen: whether an earlier call had the prompts.
    knows_order: whether the family's word alone tells equal rows apart. In this table, A and B are the prompts of two
    pictures, and X is another text:

        prompt.rule        batch      rows that draw
        "any"              A X A      0 and 2: every row with a prompt
        "all"              A A        0 and 1
                           A X        UserError: a row has another text
        "one per picture"  X X A B    2 and 3: the family's, or in another order copies of the encoded prompts
                           X X        no row; a UserError if no earlier call had the prompts, and X is unknown
                           B X A B    2 and 3 if `knows_order`, and the family says so; otherwise a UserError
                           A B A B    as before
    """
    distances, pictures = _distances(prompt.states, states), range(len(prompt.states))
    if prompt.rule == "one per picture":
        # 1. Where the family says, if their states equal the prompts, and no other row's does
        rows = family.rows_with_prompt(len(states), len(pictures))
        if len(rows) == len(pictures):
            own = [of_prompt[row] for of_prompt, row in zip(distances, rows, strict=True)]
            least = [min(of_prompt[row] for of_prompt in distances) for row in rows]
            further = {*range(len(states))} - {*rows}
            are_proved = all(distance <= EQUAL for distance in own)
            are_alone = not any(of_prompt[row] <= EQUAL for of_prompt, row in product(distances, further))
            # Two prompts may be nearly equal, and a pipeline may draw them in another order.
            if are_proved and ((are_alone and own == least) or knows_order):
                return dict(zip(rows, pictures, strict=True))

    # 2. Wherever their states equal the prompts
    matched = _match(distances)
    if prompt.rule == "all" and len(matched) < len(states):
        fix = f"{NAME_STATES}, with tokenizer=pipe.tokenizer"
        raise UserError("the network was given several texts, and which is the prompt is unknown", fix=fix)
    if prompt.rule != "one per picture":
        return matched
    are_copies = all(distances[number][row] == 0 for row, number in matched.items())
    if are_copies and [*matched.values()] == [*_match(_distances(prompt.states, prompt.states)).values()]:
        return dict(zip(matched, pictures, strict=True))
    if matched:
        problem = f"{len(matched)} rows of a batch of {len(states)} have the prompt, for {len(pictures)} pictures"
        fix = "draw one at a time"
        if len(pictures) == 1:
            fix = "capture its network, capture(pipe.unet, states=prompt_embeds), where each row is a picture"
        raise UserError(problem, "which of them draw the pictures is unknown", fix)
    if not was_seen and len(_match(_distances(prompt.other_states, states))) < len(states):
        raise UserError("the network was given no text that equals the prompt's encoded states", fix=NAME_STATES)
    return {}  # the pipeline encoded this text, or a callback put it in the prompt's place


def _match(distances: Sequence[Sequence[float]]) -> dict[int, int]:
    """Row → the number of the first prompt that it equals, for the rows that equal one. Of the rows that are at most
    EQUAL away from a prompt, the nearest counts, with its copies.

    distances: from `_distances`. Raises UserError if another text is as near as that, and none is the prompt's copy:

        distances from a prompt     result
        2e-4, 2e-4, 0.7             the first two rows: copies of each other
        0, 5e-4, 0.7                the first row
        2e-4, 5e-4, 0.7             UserError
        0.5, 0.6, 0.7               no row
    """
    found: dict[int, int] = {}
    for number, of_prompt in enumerate(distances):
        near = [row for row, distance in enumerate(of_prompt) if distance <= EQUAL]
        least = min(of_prompt, default=0.0)
        for row in near:
            if of_prompt[row] == least:
                found.setdefault(row, number)
            elif least:
                raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
    return dict(sorted(found.items()))


def _distances(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[list[float]]:
    """(P lists of B numbers): the distance from each prompt's state to each state of the batch, as `_distance`."""
    if not prompt_states:
        return []
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
