"""Which rows of a batch have the prompt: those whose text states equal the prompt's encoded states.

    encode_prompt(arguments) ─▶ note ─▶ Encoded, with the states of its texts
    network(inputs) ─▶ find ─▶ the numbers of the rows whose states equal (`match`) those of the prompt's Encoded

A state is what the network is given of one text: (T, D), or (T, layers, D). A row is a member of the network's batch,
and has a state. The prompt's states are what the pipeline's `encode_prompt` returned, or what the script named
(`states=`). If the pipeline has no such method, did not use it, or returned all states together, capture encodes the
prompt once itself. No row is taken by its place, except InstructPix2Pix's if all texts are the same.
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
"""The largest distance from the prompt's state, as a share of its norm, at which a state equals it."""
CLEAR = 10
"""How many times as far away the nearest other state must be."""
SAME = 1e-6
"""The largest distance of two states of one text, which may have been encoded in batches of several sizes."""
ENCODE = ("encode_prompt", "_encode_prompt")
"""Pipelines' names for the method that encodes prompts; the first that a pipeline has is used."""
STATES = ("encoder_hidden_states", "cap_feats", "text_bth")
"""Networks' names for the text states."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument for the text that comes before the prompt."""
PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""Arguments of pipelines, and of each `encode_prompt` that repeats the texts itself."""
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
    """Texts that were encoded in one call."""

    states: Sequence[torch.Tensor]
    """The state of each text."""
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The pipeline's argument → its texts; empty if embeddings were given instead."""
    other_states: Sequence[torch.Tensor] = ()
    """Further states of the result: the states of negative prompts."""
    repeats: int = 1
    """How many rows of a batch have each of `states`."""

    @property
    def count(self) -> int:
        """The number of pictures that are drawn of these texts at once."""
        return len(self.states) * self.repeats

    @property
    def order(self) -> list[int | None]:
        """What `match` finds in a batch of these states alone."""
        first = match(self.states, self.states)
        return [first[row // self.repeats] for row in range(self.count)]


class ReadText(NamedTuple):
    """The text of a picture."""

    texts: Texts
    width: int = 0
    """The number of columns that it was encoded to, which padding may follow; 0: unknown."""
    columns: int = 0
    """The number of columns of its maps."""

    @property
    def prompt(self) -> str:
        """The text for the first encoder; empty if only embeddings were given."""
        return self.texts.get("prompt", "")


def match(prompt_states: Sequence[torch.Tensor], batch_states: Sequence[torch.Tensor]) -> list[int | None]:
    """For each state of a batch, the number of the first prompt's state that it equals, or None. Raises UserError for a
    prompt's state that two different states of the batch are about equally near to."""
    found: list[int | None] = [None] * len(batch_states)
    if not prompt_states or not found:
        return found
    for number, near in enumerate(_distances(prompt_states, batch_states)):
        best = min(near)
        if best > CLOSE:
            continue
        of_best = near  # distances from the nearest state of the batch, which are the same if that is the prompt's
        if best > SAME:
            (of_best,) = _distances([batch_states[near.index(best)]], batch_states)
        for index, (distance, from_best) in enumerate(zip(near, of_best, strict=True)):
            if from_best > SAME and distance < CLEAR * best:
                raise UserError("two texts of a batch are about equally near to the prompt's", fix=NAME_STATES)
            if from_best <= SAME and found[index] is None:
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


class PromptRows:
    """Finds the prompt's rows in the batches of one run.

    pipe: None: a network alone. named, states: the prompts and their states that the script named. call_arguments: the
    arguments of the pipeline's call.
    """

    def __init__(
        self,
        family: Family,
        pipe: Any,
        named: Sequence[str],
        states: Any = None,
        call_arguments: Mapping[str, Any] = {},
    ) -> None:
        self.family, self.pipe, self.named, self.call_arguments = family, pipe, named, call_arguments
        self.texts: list[ReadText] = []
        """The text of each picture, once the prompt was found in a batch."""
        self.encodings: list[Encoded] = []
        """What the pipeline encoded in this call."""
        self.encoded_prompt: Encoded | None = None
        """The encoding with the prompt, once it is known."""
        if states is not None:
            states = list(states) if isinstance(states, list) or states.ndim > 2 else [states]
            self.encoded_prompt = Encoded(states)
        self.is_encoding = False
        """Whether capture itself encodes a text now."""
        self.negative_in_same_batch = False
        """Whether a batch had the prompt also as the negative prompt."""
        self._states_are_named = states is not None
        self._known: list[tuple[Any, list[int], Sequence[int] | None]] = []  # the network's last calls

    @property
    def images_per_prompt(self) -> int:
        given = self.call_arguments
        return next((int(given[name]) for name in PER_PROMPT if given.get(name)), 1)

    # What the pipeline encodes

    def encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Encode texts for capture itself, and return their states."""
        self.is_encoding = True
        try:
            return encode_texts(self.family, self.pipe, texts)
        finally:
            self.is_encoding = False

    def note(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Remember what `encode_prompt` returned before the first step. arguments: the call's arguments, by name."""
        states, *beside = output if isinstance(output, tuple) else (output,)
        if states is None or self.is_encoding:
            return
        prompts = {name: listed(arguments.get(name)) for name in ("prompt", "prompt_2", "prompt_3")}
        texts = {name: text for name, text in prompts.items() if text}
        clean = getattr(self.pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=arguments.get("clean_caption", False))
        if texts and INSTRUCTION in arguments:
            texts[INSTRUCTION] = ["\n".join(arguments[INSTRUCTION] or ())]
        others = [part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim > 2)]
        repeats = 1 if any(name in arguments for name in PER_PROMPT) else self.images_per_prompt
        encoded = Encoded(list(states), texts, [*chain.from_iterable(others)], repeats)
        if not isinstance(output, tuple) and arguments.get("do_classifier_free_guidance"):
            encoded = self._take_apart(encoded, arguments)
        self.encodings.append(encoded)

    def _take_apart(self, encoded: Encoded, arguments: Mapping[str, Any]) -> Encoded:
        """The states of the prompt, and the others, from an older `_encode_prompt`, which returns them together."""
        wanted = arguments.get("prompt_embeds")
        if wanted is None:
            wanted = self.encode(encoded.texts["prompt"])
        prompt = replace(encoded, states=list(wanted), repeats=self.images_per_prompt)
        matched = match(prompt.states, encoded.states)
        numbers = [number for number, found in enumerate(matched) if found is not None][: prompt.count]
        if len(numbers) < prompt.count:
            problem = f"{len(matched)} texts were encoded together, and which is the prompt is unknown"
            raise UserError(problem, fix=GIVE_STATES)
        others = [state for number, state in enumerate(encoded.states) if number not in numbers]
        return replace(prompt, other_states=others)

    # What the network is given

    def find(self, states: Any, inputs: Mapping[str, Any]) -> Sequence[int] | None:
        """The numbers of the rows with the prompt, one for each picture; None if this call of the network has none.
        states: the batch's text states. inputs: the network's inputs. Raises UserError if the rows are unknown."""
        versions = _versions(states)
        for known, of_known, rows in self._known:
            if known is states and of_known == versions:
                return rows
        rows = self._find(states, inputs)
        self._known = [(states, versions, rows), *self._known[:2]]
        return rows

    def _find(self, states: Any, inputs: Mapping[str, Any]) -> Sequence[int] | None:
        """As `find`. How many rows equal the prompt:

        none                        the call without the prompt: None; UserError if that is not known
        all, but in another order   the call with negative prompts, which are other pictures' prompts: None
        one for each picture        these rows
        more                        those of the part of the batch that draws, or UserError
        """
        # 1. Rows that equal the prompt
        prompt = self.encoded_prompt = self.encoded_prompt or self._encoding_with_prompt(states)
        matched = match(prompt.states, states)
        rows: Sequence[int] = [row for row, found in enumerate(matched) if found is not None]
        if self.pipe is None and not self._states_are_named and None in matched:
            raise UserError("the network was given several texts, and which is the prompt is unknown", fix=NAME_STATES)

        # 2. Calls without the prompt
        if not rows:
            if self.texts or self._states_are_named or None not in match(self._other_states(), states):
                return None  # the call without the prompt, or with a text that a callback put in its place
            problem = "the network was given no text that equals the prompt's encoded states"
            raise UserError(problem, fix=NAME_TEXT)
        if self.negative_is_prompt and len(states) == prompt.count and list(matched) != prompt.order:
            return None  # the call with the negative prompts, of which some are prompts of other pictures

        # 3. Of several parts with the same text, the one that draws
        if self.pipe is not None and not self._states_are_named and len(rows) != prompt.count:
            rows = self._part_with_prompts(prompt, matched, inputs) if self.negative_is_prompt else ()
            if not rows:
                count = len(matched) - matched.count(None)
                problem = f"{count} rows of a batch of {len(states)} have the prompt, for {prompt.count} pictures"
                raise UserError(problem, "which of them draw the pictures is unknown", "draw one at a time")
            self.negative_in_same_batch = True

        # 4. Their texts
        if not self.texts:
            self.texts = [ReadText(self._texts_of(prompt, matched[row] or 0), len(states[row])) for row in rows]
        if list(rows) == list(range(rows[0], rows[-1] + 1)):
            rows = range(rows[0], rows[-1] + 1)  # of which no copy is made
        return rows

    def _texts_of(self, prompt: Encoded, number: int) -> Texts:
        """The texts of one of the prompt's states."""
        every, count = prompt.texts, len(prompt.states)
        if not every and self.named:
            every = {"prompt": self.named}
        for texts in every.values():
            if count % len(texts):
                problem = f"{len(texts)} texts were given, but {count} images are drawn together"
                raise UserError("prompt", problem, "give one for each, or one for all")
        return {name: texts[number * len(texts) // count] for name, texts in every.items()}

    @property
    def negative_is_prompt(self) -> bool:
        """Whether the negative prompt is the prompt, too, so that rows and calls without the prompt have its text."""
        if self.encoded_prompt is None or self._states_are_named:
            return False
        return any(found is not None for found in match(self.encoded_prompt.states, self._other_states()))

    def _other_states(self) -> list[torch.Tensor]:
        """The states that were encoded in addition to the prompt's."""
        others: list[torch.Tensor] = []
        for encoded in self.encodings:
            others += encoded.other_states
            if encoded is not self.encoded_prompt:
                others += encoded.states
        return others

    def _part_with_prompts(
        self, prompt: Encoded, matched: Sequence[int | None], inputs: Mapping[str, Any]
    ) -> Sequence[int]:
        """The rows of the part of a batch that has the prompts in their order. If several parts have, they are the
        first one's, provided that all other inputs are the same, too, or that the pipeline edits; otherwise none."""
        order = prompt.order
        parts = [range(start, start + prompt.count) for start in range(0, len(matched), prompt.count)]
        fitting = [part for part in parts if list(matched[part.start : part.stop]) == order]
        network = getattr(self.pipe, "unet", None)
        if network is None or network.config.in_channels != EDITING_CHANNELS:
            rows = (len(matched),)
            batches = [leaf for leaf in tree_leaves(dict(inputs)) if torch.is_tensor(leaf) and leaf.shape[:1] == rows]
            for part, batch in product(fitting[1:], [latents_of(inputs), *batches]):
                pairs = zip(fitting[0], part, strict=True)
                if not all(torch.equal(batch[one], batch[other]) for one, other in pairs):
                    return ()
        return fitting[0] if fitting else ()

    def _encoding_with_prompt(self, states: Any) -> Encoded:
        """The encoding with the prompt. states: the batch's text states. Raises UserError if the prompt is unknown, or
        if the pipeline encoded several texts one by one, and none of them is the call's prompt or a named one."""
        if self.pipe is None:  # one text in the whole run
            return Encoded([states[0]])
        if len(self.encodings) == 1:
            return self.encodings[0]
        embeddings = self.call_arguments.get("prompt_embeds")
        if not self.encodings and embeddings is not None:
            others = self.call_arguments.get("negative_prompt_embeds")
            return Encoded(list(embeddings), {}, [] if others is None else list(others), self.images_per_prompt)
        prompts = listed(self.call_arguments.get("prompt"))
        for wanted in filter(None, (prompts, self.named)):
            for encoded in self.encodings:
                if list(encoded.texts.get("prompt", ())) == list(wanted):
                    return encoded
        if self.encodings:
            raise UserError("several texts were encoded, and none is the call's prompt", fix=NAME_TEXT)
        texts = prompts or self.named
        if not texts:
            raise UserError("no encode_prompt encoded the text, so it is unknown which rows have it", fix=NAME_TEXT)
        return Encoded(self.encode(texts), {"prompt": texts}, repeats=self.images_per_prompt)


def _versions(states: Any) -> list[int]:
    """How often each tensor was changed in place, which PyTorch does not count in `inference_mode`."""
    tensors = states if isinstance(states, list) else [states]
    return [one._version for one in tensors if not one.is_inference()]


def encode_texts(family: Family, pipe: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """The states of texts from the pipeline's own tokenizer and text encoder. Raises UserError if that is
    impossible."""
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


def listed(texts: Any) -> list[str]:
    """One text, several or none, as a list."""
    return list(texts or ()) if isinstance(texts, list | tuple | None) else [texts]
