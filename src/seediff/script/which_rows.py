"""Which rows of a batch have the prompt: those whose text states equal the prompt's encoded states.

A state is what one row of a batch is given of a text: (T, D), or (T, layers, D). The prompt's states are what the
pipeline's `encode_prompt` returned, or what the script named (`states=`). If the pipeline has no such method, did not
use it, or returned more rows than the prompt's two, capture encodes the prompt once itself. No row is taken by its
place, except where the prompt and the negative prompt are the same text, and in what InstructPix2Pix encodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, NamedTuple

import torch

from ..errors import UserError, first_line
from ..models.families.family import Family

CLOSE = 1e-3
"""The largest distance from the prompt's state, as a share of its norm, of a row that has the prompt."""
CLEAR = 10
"""How many times farther the nearest different state must be."""
SAME = 1e-6
"""The largest distance between states of one text, which may be encoded in batches of several sizes."""
ENCODE = ("encode_prompt", "_encode_prompt")
"""Names of the method of pipelines that encodes prompts; the first that is there is used."""
STATES = ("encoder_hidden_states", "cap_feats", "text_bth")
"""Networks' names for the text states."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument with the text that comes before the prompt."""
PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""Arguments of pipelines, and of those `encode_prompt` that repeat each text themselves."""
EDITING_CHANNELS = 8
"""Input channels of InstructPix2Pix's UNet, whose batch has three parts: text and picture, picture alone, neither."""
NAME_STATES = (
    "name the encoded prompt that the loop itself uses, capture(network, prompt='…', tokenizer=pipe.tokenizer,"
    " states=prompt_embeds)"
)
NAME_TEXT = "name the text, capture(pipe, prompt='…')"

Texts = Mapping[str, str]
"""The texts of one image, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


@dataclass(frozen=True)
class Encoded:
    """Encoded texts. rows: R states for the network. texts: argument of the pipeline → its texts; empty if embeddings
    were given instead. others: further states in the result, those of negative prompts. repeats: how many rows of a
    batch have each of `rows`."""

    rows: Sequence[torch.Tensor]
    texts: Mapping[str, Sequence[str]]
    others: Sequence[torch.Tensor] = ()
    repeats: int = 1

    @property
    def count(self) -> int:
        """The number of pictures that are drawn of these texts at once."""
        return len(self.rows) * self.repeats


class Rows(NamedTuple):
    """The rows of a batch with the prompt, one for each picture, with the picture's texts and the number of columns
    that its text was encoded to (0: unknown)."""

    numbers: Sequence[int]
    texts: Sequence[Texts]
    widths: Sequence[int]


def match(rows: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> list[int | None]:
    """For each state, the index of the first row that it equals, or None. Raises UserError for a row that two different
    states are about equally near to."""
    found: list[int | None] = [None] * len(states)
    if not rows or not len(states):
        return found
    for number, near in enumerate(_distances(rows, states)):
        best = min(near)
        if best > CLOSE:
            continue
        apart = near
        if best > SAME:
            (apart,) = _distances([states[near.index(best)]], states)
        equal = [distance <= SAME for distance in apart]
        different = [distance for distance, is_equal in zip(near, equal, strict=True) if not is_equal]
        if min(different, default=1.0) < CLEAR * best:
            raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
        found = [number if old is None and new else old for old, new in zip(found, equal, strict=True)]
    return found


def _distances(rows: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> list[list[float]]:
    """The distance of each state from each row, as a share of the row's norm."""
    each = torch.stack([_distance(row, state) for row, state in product(rows, states)])
    return each.nan_to_num(torch.inf).view(len(rows), -1).tolist()  # waits for a GPU once


def _distance(row: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The distance of two states in the columns that both have, because padding may be cut off."""
    if row.shape[1:] != state.shape[1:]:
        return torch.full((), torch.inf, device=state.device)
    columns = min(len(row), len(state))
    one, other = row[:columns].to(state).float(), state[:columns].float()
    norm = one.norm().clamp_min(torch.finfo(torch.float32).tiny)
    return (one - other).norm() / norm


class PromptRows:
    """Finds the prompt's rows in the batches of one run.

    pipe: None: a network alone. named, states: what the script named of the text. given: the arguments of the
    pipeline's call.
    """

    def __init__(
        self, family: Family, pipe: Any, named: Sequence[str], states: Any = None, given: Mapping[str, Any] = {}
    ) -> None:
        self.family, self.pipe, self.named, self.given = family, pipe, named, given
        self.encodings: list[Encoded] = []
        self.prompt: Encoded | None = None
        """The encoding with the prompt, once it is known."""
        if states is not None:
            rows = list(states) if isinstance(states, list) or states.ndim > 2 else [states]
            self.prompt = Encoded(rows, {"prompt": list(named)} if named else {})
        self._is_given = states is not None
        self._found = False
        self._known: list[tuple[Any, Rows | None]] = []  # of the network's last calls

    @property
    def images_per_prompt(self) -> int:
        return next((int(self.given[name]) for name in PER_PROMPT if self.given.get(name)), 1)

    # What the pipeline encodes

    def encode(self) -> None:
        """Encode the prompt if the pipeline has no method that does so."""
        texts = listed(self.given.get("prompt")) or list(self.named)
        if texts and self.prompt is None and not any(hasattr(self.pipe, name) for name in ENCODE):
            with suppress(UserError):  # raised where the network is given a text
                self.prompt = self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Encoded:
        rows = encode_texts(self.family, self.pipe, texts)
        return Encoded(rows, {"prompt": texts}, repeats=self.images_per_prompt)

    def note(self, given: Mapping[str, Any], output: Any) -> None:
        """Remember what `encode_prompt` returned before the first step. given: its arguments by name."""
        rows, *beside = output if isinstance(output, tuple) else (output,)
        if rows is None:
            return
        prompts = {name: listed(given.get(name)) for name in ("prompt", "prompt_2", "prompt_3")}
        texts = {name: text for name, text in prompts.items() if text}
        clean = getattr(self.pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=given.get("clean_caption", False))
        if texts and INSTRUCTION in given:
            texts[INSTRUCTION] = ["\n".join(given[INSTRUCTION] or ())]
        states = [part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim > 2)]
        others = list(chain.from_iterable(states))
        repeats = 1 if any(name in given for name in PER_PROMPT) else self.images_per_prompt
        if not isinstance(output, tuple) and given.get("do_classifier_free_guidance"):
            rows, others = self._halves(rows, texts, given)
        self.encodings.append(Encoded(list(rows), texts, others, repeats))

    def _halves(self, rows: Any, texts: Mapping[str, Sequence[str]], given: Mapping[str, Any]) -> tuple[Any, list[Any]]:
        """The rows with the prompt, and the others, of an older `_encode_prompt`, which returns them together."""
        count = len(texts["prompt"] if texts else given["prompt_embeds"])
        count *= int(given.get("num_images_per_prompt") or 1)
        if len(rows) == 3 * count and self._edits:
            return rows[:count], list(rows[count:])
        if len(rows) == 2 * count:
            return rows[count:], list(rows[:count])
        wanted = encode_texts(self.family, self.pipe, texts.get("prompt", self.named))
        numbers = [number for number, found in enumerate(match(wanted, rows)) if found is not None]
        if len(numbers) != count:
            raise UserError(f"{len(rows)} texts were encoded together, and which is the prompt is unknown")
        return rows[numbers], [rows[number] for number in range(len(rows)) if number not in numbers]

    @property
    def _edits(self) -> bool:
        network = getattr(self.pipe, "unet", None)
        return network is not None and network.config.in_channels == EDITING_CHANNELS

    # What the network is given

    def find(self, states: Any, batch: int) -> Rows | None:
        """The rows of a batch with the prompt; None if this call of the network has none. Raises UserError if they are
        unknown."""
        if states is None:
            return self._rows(range(batch), [0] * batch, None)
        for known, rows in self._known:
            if known is states:
                return rows
        rows = self._find(states)
        self._known = [(states, rows), *self._known[:2]]
        return rows

    def _find(self, states: Any) -> Rows | None:
        if self.pipe is None and not self._is_given:
            return self._only_text(states)
        prompt = self.prompt = self.prompt or self._choose()
        matched = match(prompt.rows, states)
        numbers = [number for number, row in enumerate(matched) if row is not None]
        if not numbers:
            if self._found or self._is_given or None not in match(self._beside(), states):
                return None  # the call without the prompt, or with a text that a callback put in its place
            problem = "the network was given no text that equals the prompt's encoded states"
            raise UserError(problem, fix=NAME_TEXT)
        if self.is_negative:
            if len(states) > prompt.count:
                numbers = [number for number in self._by_place(len(states), prompt.count) if number in numbers]
            elif [matched[number] for number in numbers] != self._in_order(prompt):
                return None  # the call with the negative prompts, of which some are prompts of other pictures
        self._found = True
        if not self._is_given and len(numbers) != prompt.count:
            problem = f"{len(numbers)} rows of a batch of {len(states)} have the prompt, for {prompt.count} pictures"
            raise UserError(problem, "which of them draw the pictures is unknown", "draw one at a time")
        return self._rows(numbers, [matched[number] or 0 for number in numbers], states)

    def _only_text(self, states: Any) -> Rows:
        """All rows, if there is one text state in the whole run."""
        if self.prompt is None:
            self.prompt = Encoded([states[0]], {"prompt": list(self.named)} if self.named else {})
        if None in match(self.prompt.rows, states):
            raise UserError("the network was given several texts, and which is the prompt is unknown", fix=NAME_STATES)
        return self._rows(range(len(states)), None, states)

    def _rows(self, numbers: Sequence[int], of_row: Sequence[int] | None, states: Any) -> Rows:
        """Rows with their texts. of_row: for each, the row of the encoded prompt that it equals; None: all are equal,
        and the named texts are for equally many each."""
        count, prompt = len(numbers), self.prompt
        texts = prompt.texts if prompt else {}
        if not texts and self.named:
            texts = {"prompt": self.named}
        total = len(prompt.rows) if prompt and of_row is not None else count
        for given in texts.values():
            if total % len(given):
                problem = f"{len(given)} texts were given, but {total} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        each = [
            {name: given[row * len(given) // total] for name, given in texts.items()}
            for row in (range(count) if of_row is None else of_row)
        ]
        widths = [0 if states is None else len(states[number]) for number in numbers]
        if list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
            numbers = range(numbers[0], numbers[-1] + 1)  # of which no copy is made
        return Rows(numbers, each, widths)

    @property
    def is_negative(self) -> bool:
        """Whether the prompt is also the negative prompt, so that rows and calls without it have the same text."""
        assert self.prompt is not None
        return any(row is not None for row in match(self.prompt.rows, self._beside()))

    @staticmethod
    def _in_order(prompt: Encoded) -> list[int | None]:
        """What `match` finds in a batch of the prompt's rows alone."""
        return [row for row in match(prompt.rows, prompt.rows) for _ in range(prompt.repeats)]

    def _beside(self) -> list[torch.Tensor]:
        """The states that were encoded in addition to the prompt's."""
        others: list[torch.Tensor] = []
        for encoded in self.encodings:
            others += encoded.others if encoded is self.prompt else [*encoded.rows, *encoded.others]
        return others

    def _by_place(self, batch: int, count: int) -> Sequence[int]:
        """Of rows that may all have the prompt, those that draw with it."""
        if self.family.conditional == "first half" or (batch == 3 * count and self._edits):
            return range(count)
        return range(batch - count, batch)

    def _choose(self) -> Encoded:
        """The encoding with the prompt. Raises UserError if the call encoded several texts apart and none of them is
        the call's prompt, nor named, or if the prompt is unknown."""
        if len(self.encodings) == 1:
            return self.encodings[0]
        rows = self.given.get("prompt_embeds")
        if not self.encodings and rows is not None:
            others = self.given.get("negative_prompt_embeds")
            return Encoded(list(rows), {}, [] if others is None else list(others), self.images_per_prompt)
        called = listed(self.given.get("prompt"))
        for wanted in filter(None, (called, self.named)):
            for encoded in self.encodings:
                if list(encoded.texts.get("prompt", ())) == list(wanted):
                    return encoded
        if self.encodings:
            raise UserError("several texts were encoded, and none is the call's prompt", fix=NAME_TEXT)
        texts = called or list(self.named)
        if not texts:
            raise UserError("no encode_prompt encoded the text, so it is unknown which rows have it", fix=NAME_TEXT)
        return self._encode(texts)


def encode_texts(family: Family, pipe: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """The states of texts from the pipeline's own tokenizer and text encoder. Raises UserError if it has none."""
    device = getattr(pipe, "_execution_device", "cpu")
    try:
        with torch.no_grad():
            if hasattr(pipe, "encode_prompt"):
                found = family.encode(pipe, texts, device)
                return list(next(found[name] for name in STATES if name in found))
            tokens = pipe.tokenizer(
                list(texts),
                padding="max_length",
                max_length=pipe.tokenizer.model_max_length,
                truncation=True,
                return_tensors="pt",
            )
            return list(pipe.text_encoder(tokens.input_ids.to(device))[0])
    except Exception as error:
        problem = f"cannot be encoded, so it is unknown which rows have it ({first_line(error)})"
        raise UserError(f"'{texts[0]}'", problem, "give the states, capture(pipe, prompt='…', states=…)") from error


def listed(given: Any) -> list[str]:
    """One text, or several, as a list."""
    return [given] if isinstance(given, str) else list(given or ())
