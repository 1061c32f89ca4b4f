"""Which rows of a network's batch draw the pictures: those whose text is, bit for bit, the encoded prompt.

A row is one member of the network's batch: one picture with one text. The state of a text is its encoding, which the
network is given: (T, D), or (T, layers, D), with a vector for each of T columns. With guidance, other rows have the
negative prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch

from ..errors import UserError
from ..models.families.inputs import Reader

STATES = ("encoder_hidden_states", "cap_feats")
"""Networks' names for the input with the texts' states."""
NAME_STATES = (
    "name the encoded prompt that the network is given, and its text: capture(…, prompt='…', states=prompt_embeds,"
    " tokenizer=pipe.tokenizer)"
)
Texts = Mapping[str, str]
"""The texts of one picture, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


@dataclass(frozen=True)
class Named:
    """What a script says itself, in `capture(pipe, prompt=…, tokenizer=…, states=…)`. It counts before all else."""

    prompts: Sequence[str] = ()
    readers: Sequence[Reader] | None = None
    """None: the pipeline's own tokenizers count."""
    states: Sequence[torch.Tensor] | None = None


@dataclass(frozen=True)
class Encoded:
    """The encoded prompts of one call of the pipeline."""

    states: Sequence[torch.Tensor]
    """The state of each picture's text. If several pictures have one text, its state comes once for each of them."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Argument of the pipeline → its texts, for example {"prompt": ["a dog", "a cat"]}; empty if the pipeline was given
    only embeddings."""
    is_named: bool = False
    """Whether the script named these states. Then each row with one of them is a picture."""

    def texts_of(self, number: int) -> Texts:
        """The texts of one state. number: the state's number. For example, 2 texts and 4 states: states 0 and 1 have
        the first text."""
        return {name: texts[number * len(texts) // len(self.states)] for name, texts in self.texts.items() if texts}


def find_rows(prompt: Encoded, states: Sequence[torch.Tensor]) -> dict[int, int]:
    """Row → the number of its prompt, for the rows of a batch that draw the pictures; empty in a call without the
    prompt. states: the state of each row. Raises UserError if other rows than one for each picture have a prompt."""
    pairs = [_are_equal(one, other) for other, one in product(states, prompt.states)]
    equal = torch.stack(pairs).view(len(states), -1).tolist()  # waits for a GPU once
    left, rows = [*range(len(prompt.states))], dict[int, int]()
    matching = {row: [n for n, is_equal in enumerate(of_row) if is_equal] for row, of_row in enumerate(equal)}
    for row, numbers in matching.items():
        number = next((n for n in numbers if prompt.is_named or n in left), None)
        if number is not None:
            rows[row] = number
            left = [n for n in left if n != number]
    count = sum(map(bool, matching.values()))
    if rows and not prompt.is_named and (left or count > len(rows)):
        problem = f"{count} rows of a batch of {len(states)} have the prompt, for {len(prompt.states)} images"
        fix = "draw one at a time, or capture the network"
        raise UserError(problem, "which of them draw the images is unknown", fix)
    return rows


def copied(states: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Copies of states: a callback may change the pipeline's own in place, which would still equal themselves."""
    return [state.detach().clone() for state in states]


def _are_equal(prompt_state: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Whether two states are equal in all columns that both have, because padding may be cut off."""
    if prompt_state.shape[1:] != state.shape[1:]:
        return torch.zeros((), dtype=torch.bool, device=state.device)
    columns = min(len(prompt_state), len(state))
    return (prompt_state[:columns].to(state) == state[:columns]).all()


def listed(texts: Any) -> list[str]:
    """A list of texts. texts: one text, several texts, or None for an empty list."""
    return list(texts or ()) if isinstance(texts, list | tuple | None) else [texts]
