"""Which rows of a network's batch draw the pictures: those whose text is, bit for bit, the encoded prompt.

    encoded_prompt    what the pipeline's `encode_prompt` made of the prompt
    states_of         the texts that a call of the network is given
    find_rows         its rows with the prompt

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
from ..models.families.family import Family
from ..models.families.inputs import latents_of
from ..models.hooks import NetworkInputs

STATES = ("encoder_hidden_states", "cap_feats")
"""Networks' names for the input with the texts' states."""
NAME_STATES = (
    "name the encoded prompt that the network is given, and its text: capture(…, prompt='…', states=prompt_embeds,"
    " tokenizer=pipe.tokenizer)"
)
OTHER_NEGATIVE = "give another negative prompt than the prompt, or draw without guidance (guidance_scale=1)"
Texts = Mapping[str, str]
"""The texts of one picture, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""
PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""The number of pictures or clips for each prompt: an argument of pipelines, and of an `encode_prompt` that itself
repeats the states."""


@dataclass(frozen=True)
class Encoded:
    """The encoded prompts of one call of the pipeline."""

    states: Sequence[torch.Tensor] = ()
    """The state of each picture's text. If several pictures have one text, its state comes once for each of them. Empty
    until the pipeline has encoded them."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Argument of the pipeline → its texts, for example {"prompt": ["a dog", "a cat"]}; empty if the pipeline was given
    only embeddings."""
    is_named: bool = False
    """Whether the script named these states. Then each row with one of them is a picture."""

    @property
    def is_pending(self) -> bool:
        """Whether the pipeline has not encoded them yet."""
        return not self.states

    def texts_of(self, number: int) -> Texts:
        """The texts of one state. number: the state's number. For example, 2 texts and 4 states: states 0 and 1 have
        the first text."""
        return {name: texts[number * len(texts) // len(self.states)] for name, texts in self.texts.items() if texts}


def encoded_prompt(
    pipe: Any, arguments: Mapping[str, Any], given: Mapping[str, Any], output: Any, known: Encoded
) -> Encoded:
    """The encoded prompt, if a call of `encode_prompt` has encoded it; otherwise what was known before. arguments: of
    the pipeline's call. given, output: what `encode_prompt` was given, by name, and returned: the states first."""
    states = output[0] if isinstance(output, tuple) else output
    own = arguments.get("prompt", given.get("prompt"))  # `__call__(self, *args)` names none
    if states is None or listed(given.get("prompt")) != listed(own):
        return known
    texts = {name: listed(given[name]) for name in ("prompt", "prompt_2", "prompt_3") if given.get(name) is not None}
    clean = getattr(pipe, "_text_preprocessing", None)
    if texts and clean is not None:
        texts["prompt"] = clean(texts["prompt"], clean_caption=given.get("clean_caption", False))
    repeats = 1
    if given.keys().isdisjoint(PER_PROMPT):  # otherwise `encode_prompt` itself repeats them
        repeats = next((int(arguments[name]) for name in PER_PROMPT if arguments.get(name)), 1)
    return Encoded([state for state in copied(states) for _ in range(repeats)], known.texts or texts)


def given_states(inputs: NetworkInputs) -> Sequence[torch.Tensor]:
    """The network's input with the texts' states; none for a further prediction of SD 3's, without some layers. Raises
    UserError if the network is given none."""
    if inputs.get("skip_layers") is not None:
        return ()
    states = next((inputs[name] for name in STATES if inputs.get(name) is not None), None)
    if states is None:
        raise UserError("the network was given no text")
    return states


def states_of(family: Family, inputs: NetworkInputs) -> Sequence[torch.Tensor]:
    """The state of each row in a call of the network, of its `given_states`."""
    frames = latents_of(inputs).shape[family.frames_dimension] if family.frames_in_rows else 1
    return given_states(inputs)[::frames]  # one row for each clip


def find_rows(prompt: Encoded, states: Sequence[torch.Tensor]) -> dict[int, int]:
    """Row → the number of its prompt, for the rows of a batch that draw the pictures; empty in a call without the
    prompt. states: the state of each row. Raises UserError if other rows than one for each picture have a prompt."""
    if not len(states):
        return {}
    if prompt.is_pending:
        problem = "has not encoded its prompt with its encode_prompt, so which rows have it is unknown"
        raise UserError("the pipeline", problem, NAME_STATES)
    pairs = [_are_equal(one, other) for other, one in product(states, prompt.states)]
    equal = torch.stack(pairs).view(len(states), -1).tolist()  # waits for a GPU once
    rows: dict[int, int] = {}
    left = [*range(len(prompt.states))]
    matching = {row: [n for n, is_equal in enumerate(of_row) if is_equal] for row, of_row in enumerate(equal)}
    for row, numbers in matching.items():
        number = next((n for n in numbers if prompt.is_named or n in left), None)
        if number is not None:
            rows[row] = number
            left = [n for n in left if n != number]
    count = sum(map(bool, matching.values()))
    if rows and not prompt.is_named and (left or count > len(rows)):
        problem = f"{count} rows of a batch of {len(states)} have the prompt, for {len(prompt.states)} images"
        fix = "draw one image at a time, or capture the network" if left else OTHER_NEGATIVE
        raise UserError(problem, "which of them draw the images is unknown", fix)
    return rows


def check_counts(rows: int, calls: int, images: int, steps: int) -> None:
    """Raise UserError if not each row with the prompt drew one image, once at each step. rows, calls: how many had the
    prompt."""
    if rows != images or calls > steps:
        counts = f"{rows} rows had the prompt in {calls} calls, for {images} images of {steps} steps"
        fix = f"{OTHER_NEGATIVE}, one image at a time, or by a pipeline that draws each in one row (docs/script.md)"
        raise UserError("the pipeline", f"{counts}: which of them draw the images is unknown", fix)


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
