"""Which rows of a batch have the prompt: those whose text states equal the prompt's encoded states.

A state is what one row of a batch is given of a text: (T, D), or (T, layers, D). The prompt's states are what the
pipeline's `encode_prompt` returned, or what the script named (`states=`). If the pipeline has no such method, did not
use it, or returned all rows together, capture encodes the prompt once itself. No row is taken by its place, except
InstructPix2Pix's where all texts are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves

from ..errors import UserError, first_line
from ..models.families.family import Family, latents_of

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
GIVE_STATES = "give the states, capture(pipe, prompt='…', states=…)"

Texts = Mapping[str, str]
"""The texts of one image, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""


@dataclass(frozen=True)
class Encoded:
    """Encoded texts. rows: R states for the network. texts: argument of the pipeline → its texts; empty if embeddings
    were given instead. others: further states in the result, those of negative prompts. repeats: how many rows of a
    batch have each of `rows`."""

    rows: Sequence[torch.Tensor]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Sequence[torch.Tensor] = ()
    repeats: int = 1

    @property
    def count(self) -> int:
        """The number of pictures that are drawn of these texts at once."""
        return len(self.rows) * self.repeats


class ReadText(NamedTuple):
    """The text of a picture. width: the number of columns that it was encoded to (0: unknown), which padding may
    follow. columns: of its maps."""

    texts: Texts
    width: int = 0
    columns: int = 0


class Rows(NamedTuple):
    """The rows of a batch with the prompt, one for each picture, with the picture's text."""

    numbers: Sequence[int]
    texts: Sequence[ReadText]


def match(rows: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> list[int | None]:
    """For each state, the index of the first row that it equals, or None. Raises UserError for a row that two different
    states are about equally near to."""
    found: list[int | None] = [None] * len(states)
    if not rows or not found:
        return found
    for number, near in enumerate(_distances(rows, states)):
        best = min(near)
        if best > CLOSE:
            continue
        apart = near
        if best > SAME:
            (apart,) = _distances([states[near.index(best)]], states)
        for index, (distance, from_best) in enumerate(zip(near, apart, strict=True)):
            if from_best > SAME and distance < CLEAR * best:
                raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
            if from_best <= SAME and found[index] is None:
                found[index] = number
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
            self.prompt = Encoded(list(states) if isinstance(states, list) or states.ndim > 2 else [states])
        self.is_encoding = False
        """Whether capture itself encodes a text now."""
        self.in_one_batch = False
        """Whether a batch had the prompt also as the negative prompt."""
        self._is_given = states is not None
        self._found = False
        self._known: list[tuple[Any, list[int], Rows | None]] = []  # of the network's last calls

    @property
    def images_per_prompt(self) -> int:
        return next((int(self.given[name]) for name in PER_PROMPT if self.given.get(name)), 1)

    # What the pipeline encodes

    def encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The states of texts, which capture encodes itself."""
        self.is_encoding = True
        try:
            return encode_texts(self.family, self.pipe, texts)
        finally:
            self.is_encoding = False

    def note(self, given: Mapping[str, Any], output: Any) -> None:
        """Remember what `encode_prompt` returned before the first step. given: its arguments by name."""
        rows, *beside = output if isinstance(output, tuple) else (output,)
        if rows is None or self.is_encoding:
            return
        prompts = {name: listed(given.get(name)) for name in ("prompt", "prompt_2", "prompt_3")}
        texts = {name: text for name, text in prompts.items() if text}
        clean = getattr(self.pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=given.get("clean_caption", False))
        if texts and INSTRUCTION in given:
            texts[INSTRUCTION] = ["\n".join(given[INSTRUCTION] or ())]
        states = [part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim > 2)]
        encoded = Encoded(list(rows), texts, [*chain.from_iterable(states)])
        if not any(name in given for name in PER_PROMPT):
            encoded = replace(encoded, repeats=self.images_per_prompt)
        if not isinstance(output, tuple) and given.get("do_classifier_free_guidance"):
            encoded = self._divide(encoded, given)
        self.encodings.append(encoded)

    def _divide(self, encoded: Encoded, given: Mapping[str, Any]) -> Encoded:
        """The rows with the prompt, and the others, of an older `_encode_prompt`, which returns them together."""
        wanted = given.get("prompt_embeds")
        if wanted is None:
            wanted = self.encode(encoded.texts["prompt"])
        prompt = replace(encoded, rows=list(wanted), repeats=self.images_per_prompt)
        matched = match(prompt.rows, encoded.rows)
        numbers = [number for number, found in enumerate(matched) if found is not None][: prompt.count]
        if len(numbers) < prompt.count:
            problem = f"{len(matched)} texts were encoded together, and which is the prompt is unknown"
            raise UserError(problem, fix=GIVE_STATES)
        return replace(prompt, others=[row for number, row in enumerate(encoded.rows) if number not in numbers])

    # What the network is given

    def find(self, states: Any, given: Mapping[str, Any]) -> Rows | None:
        """The rows of a batch with the prompt; None if this call of the network has none. Raises UserError if they are
        unknown. given: the network's inputs."""
        versions = _versions(states)
        for known, of_known, rows in self._known:
            if known is states and of_known == versions:
                return rows
        rows = self._find(states, given)
        self._known = [(states, versions, rows), *self._known[:2]]
        return rows

    def _find(self, states: Any, given: Mapping[str, Any]) -> Rows | None:
        prompt = self.prompt = self.prompt or self._choose(states)
        matched = match(prompt.rows, states)
        numbers: Sequence[int] = [number for number, row in enumerate(matched) if row is not None]
        if self.pipe is None and not self._is_given and None in matched:
            raise UserError("the network was given several texts, and which is the prompt is unknown", fix=NAME_STATES)
        if not numbers:
            if self._found or self._is_given or None not in match(self._beside(), states):
                return None  # the call without the prompt, or with a text that a callback put in its place
            problem = "the network was given no text that equals the prompt's encoded states"
            raise UserError(problem, fix=NAME_TEXT)
        if self.is_negative and len(states) == prompt.count and list(matched) != self._in_order(prompt):
            return None  # the call with the negative prompts, of which some are prompts of other pictures
        self._found = True
        if self.pipe is not None and not self._is_given and len(numbers) != prompt.count:
            numbers = self._part(prompt, matched, given) if self.is_negative else ()
            if not numbers:
                count = len(matched) - matched.count(None)
                problem = f"{count} rows of a batch of {len(states)} have the prompt, for {prompt.count} pictures"
                raise UserError(problem, "which of them draw the pictures is unknown", "draw one at a time")
            self.in_one_batch = True
        texts = [ReadText(self._texts(prompt, matched[number] or 0), len(states[number])) for number in numbers]
        if list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
            numbers = range(numbers[0], numbers[-1] + 1)  # of which no copy is made
        return Rows(numbers, texts)

    def _texts(self, prompt: Encoded, row: int) -> Texts:
        """The texts of a row of the encoded prompt."""
        every, rows = prompt.texts, len(prompt.rows)
        if not every and self.named:
            every = {"prompt": self.named}
        for given in every.values():
            if rows % len(given):
                problem = f"{len(given)} texts were given, but {rows} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        return {name: given[row * len(given) // rows] for name, given in every.items()}

    @property
    def is_negative(self) -> bool:
        """Whether the prompt is also the negative prompt, so that rows and calls without it have the same text."""
        if self.prompt is None or self._is_given:
            return False
        return any(row is not None for row in match(self.prompt.rows, self._beside()))

    @staticmethod
    def _in_order(prompt: Encoded) -> list[int | None]:
        """What `match` finds in a batch of the prompt's rows alone."""
        first = match(prompt.rows, prompt.rows)
        return [first[number // prompt.repeats] for number in range(prompt.count)]

    def _beside(self) -> list[torch.Tensor]:
        """The states that were encoded in addition to the prompt's."""
        others: list[torch.Tensor] = []
        for encoded in self.encodings:
            others += encoded.others if encoded is self.prompt else [*encoded.rows, *encoded.others]
        return others

    def _part(self, prompt: Encoded, matched: Sequence[int | None], given: Mapping[str, Any]) -> Sequence[int]:
        """The part of a batch that has the prompts in their order. Of several, whose text is the same, the first, if
        all other inputs are the same, too, or the pipeline edits; otherwise none."""
        order = self._in_order(prompt)
        parts = [range(start, start + prompt.count) for start in range(0, len(matched), prompt.count)]
        fitting = [part for part in parts if list(matched[part.start : part.stop]) == order]
        network = getattr(self.pipe, "unet", None)
        if network is None or network.config.in_channels != EDITING_CHANNELS:
            batches = [leaf for leaf in tree_leaves(dict(given)) if _has_rows(leaf, len(matched))]
            for part, inputs in product(fitting[1:], [latents_of(given), *batches]):
                pairs = zip(fitting[0], part, strict=True)
                if not all(torch.equal(inputs[one], inputs[other]) for one, other in pairs):
                    return ()
        return fitting[0] if fitting else ()

    def _choose(self, states: Any) -> Encoded:
        """The encoding with the prompt. Raises UserError if the call encoded several texts apart and none of them is
        the call's prompt, nor named, or if the prompt is unknown."""
        if self.pipe is None:  # one text in the whole run
            return Encoded([states[0]])
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
        texts = called or self.named
        if not texts:
            raise UserError("no encode_prompt encoded the text, so it is unknown which rows have it", fix=NAME_TEXT)
        return Encoded(self.encode(texts), {"prompt": texts}, repeats=self.images_per_prompt)


def _versions(states: Any) -> list[int]:
    """How often each tensor was changed in place; PyTorch does not count it in `inference_mode`."""
    tensors = states if isinstance(states, list) else [states]
    return [one._version for one in tensors if not one.is_inference()]


def _has_rows(value: Any, count: int) -> bool:
    return torch.is_tensor(value) and value.shape[:1] == (count,)


def encode_texts(family: Family, pipe: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """The states of texts from the pipeline's own tokenizer and text encoder. Raises UserError if it has none."""
    device = getattr(pipe, "_execution_device", "cpu")
    try:
        with torch.no_grad():
            if hasattr(pipe, "encode_prompt"):
                found = family.encode(pipe, texts, device)
                return list(next(found[name] for name in STATES if name in found))
            if hasattr(pipe, "maybe_convert_prompt"):  # words of a textual inversion
                texts = pipe.maybe_convert_prompt(list(texts), pipe.tokenizer)
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
        raise UserError(f"'{texts[0]}'", problem, GIVE_STATES) from error


def listed(given: Any) -> list[str]:
    """One text, or several, as a list."""
    return list(given or ()) if isinstance(given, list | tuple | None) else [given]
