"""`Encodings`: the texts that a pipeline encodes in one call, and which of them is the prompt.

The network reads a text as its state: one vector per column, (T, D). A column is the place of one token, or of padding.

    encode_prompt(arguments) ─▶ note ─▶ Encoded ─┐
    the call's prompt, or what the script named ─┴▶ choose ─▶ Encoded: the prompt

The prompt's states are what the pipeline's `encode_prompt` returned, or what the script named (`states=`). If the
pipeline has no such method, or did not use it, capture itself encodes the prompt once.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import Any

import torch

from ..errors import UserError, first_line
from ..models.families.family import Family
from ..models.families.readers import Reader
from ..prompts.tokens import find_weight
from .which_rows import NAME_STATES, NAME_TEXT, Encoded, match

STATES = ("encoder_hidden_states", "cap_feats", "text_bth")
"""Networks' names for the input with the texts' states."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument for the text that comes before the prompt."""
PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""The number of pictures or clips for each prompt: an argument of pipelines, and of an `encode_prompt` that itself
repeats the states."""


@dataclass(frozen=True)
class NamedText:
    """What a script says about the prompt, in `capture(pipe, prompt=…, tokenizer=…, states=…)`."""

    prompts: tuple[str, ...]
    """Empty if the script named no prompt."""
    readers: Sequence[Reader] | None
    """The tokenizer that the script named; None: the pipeline's own tokenizers count."""
    states: Sequence[torch.Tensor] | None
    """The state of each text, (T, D); None: the script named no states."""

    @classmethod
    def of(cls, prompt: str | Sequence[str] | None, tokenizer: Any, states: Any) -> NamedText:
        """The named text from these options of `capture`. Raises UserError for values of wrong kinds, and for a text
        with weights, such as `(cat:1.5)`."""
        prompts, readers = tuple(listed(prompt)), None
        for text in prompts:
            if not isinstance(text, str):
                raise UserError("prompt", f"{text!r}", "give a text, or a list of texts")
            weight = find_weight(text)
            if weight:
                raise UserError("prompt", f"'{weight}' looks like a weight", "give the text without weights")
        if tokenizer is not None:
            if not hasattr(tokenizer, "model_max_length"):
                fix = "give the pipeline's, tokenizer=pipe.tokenizer"
                raise UserError("tokenizer", f"{tokenizer!r} reads no text", fix)
            readers = (Reader("tokenizer", tokenizer, tokenizer.model_max_length),)
        if torch.is_tensor(states):
            states = list(states) if states.ndim > 2 else [states]
        given = isinstance(states, list) and states and all(torch.is_tensor(one) and one.ndim > 1 for one in states)
        if states is not None and not given:
            raise UserError("states", "must be a tensor (T, D) or (B, T, D), or a list of (T, D)")
        return cls(prompts, readers, states)


@dataclass
class Encodings:
    """The texts that a pipeline, or capture in its place, encodes in one call. `choose` finds the prompt among them."""

    family: Family
    pipe: Any
    """The pipeline; None if the script captures a network alone."""
    named: NamedText
    """What the script says about the text."""
    arguments: Mapping[str, Any]
    """The arguments of the pipeline's call, by name."""
    noted: list[Encoded] = field(default_factory=list)
    """The encodings, in the order in which they were made."""
    is_encoding: bool = False
    """Whether capture itself encodes a text now, with the pipeline's `encode_prompt`."""

    # What the pipeline encodes

    def note(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Remember an encoding that the pipeline made before the first step. arguments: the arguments of
        `encode_prompt`, by name. output: what it returned: the prompts' states, perhaps followed by the states of
        negative prompts and by masks. Raises UserError if the words of the text could not be located."""
        states, *further = output if isinstance(output, tuple) else (output,)
        if states is None or self.is_encoding:
            return
        others = [part for part in further if isinstance(part, list) or (torch.is_tensor(part) and part.ndim > 2)]
        if arguments.keys().isdisjoint(PER_PROMPT):  # otherwise `encode_prompt` itself repeats them
            states = self._repeat(states)
        self.noted.append(Encoded(list(states), self._texts(arguments), [*chain.from_iterable(others)]))

    def _texts(self, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
        """Argument → its texts, as the text encoder reads them, for example in lower case. arguments: the arguments of
        `encode_prompt`, by name. Raises UserError if words could not be located in the texts."""
        names = ("prompt", "prompt_2", "prompt_3")
        texts = {name: listed(arguments[name]) for name in names if arguments.get(name) is not None}
        clean = getattr(self.pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=arguments.get("clean_caption", False))
        usual = inspect.signature(type(self.pipe).__call__).parameters.get(INSTRUCTION)
        if texts and usual is not None and listed(arguments.get(INSTRUCTION)) != listed(usual.default):
            raise UserError(INSTRUCTION, "words can be located only with the pipeline's own", "leave it out")
        return texts

    # What capture encodes

    def encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The state (T, D) of each text. Capture itself encodes the texts, as the pipeline encodes prompts."""
        self.is_encoding = True
        try:
            return encode_texts(self.family, self.pipe, texts)
        finally:
            self.is_encoding = False

    def encode_prompts(self) -> None:
        """Encode the call's prompts, or else the prompts that the script named, and remember this encoding. If there
        are no prompts, do nothing. Raises UserError if the prompts cannot be encoded."""
        prompts = listed(self.arguments.get("prompt")) or list(self.named.prompts)
        if prompts:
            self.noted.append(Encoded(self._repeat(self.encode(prompts)), {"prompt": prompts}))

    # Which of it is the prompt

    def choose(self, states: Sequence[torch.Tensor]) -> Encoded:
        """The encoded prompt. states: the state of each row in a call of the network. Raises UserError if the prompt is
        unknown, and for a negative prompt that equals it."""
        prompt = self._prompt(states)
        others, texts = [*prompt.other_states], prompt.texts
        if not texts and self.named.prompts:
            texts = {"prompt": self.named.prompts}
        if prompt.rule == "one per picture":  # what else the pipeline encoded are other texts
            for encoded in self.noted:
                if encoded.texts != prompt.texts:  # some pipelines encode the prompt twice
                    others += [*encoded.states, *encoded.other_states]
        _check_distinct(prompt.states, others)
        return replace(prompt, texts=texts, other_states=others)

    def _prompt(self, states: Sequence[torch.Tensor]) -> Encoded:
        """The encoded prompt, perhaps without its text. The first line that applies decides:

            the script named states                  these states
            the script captures a network alone      the state of the batch's first row
            the pipeline encoded nothing:
                the call has prompt_embeds=…         these embeddings
                the call has a prompt, or            this prompt, as capture itself encodes it
                the script named one
                otherwise                            a UserError
            an encoding has the call's prompts, or   the first such encoding; if it has other texts, too, this part
            else the prompts that the script named
            the pipeline made one encoding           this encoding, unless it has more texts than the call has pictures
            otherwise                                a UserError

        states: the state of each row in a call of the network.
        """
        named, arguments = self.named, self.arguments
        if named.states is not None:
            return Encoded(named.states, rule="any")
        if self.pipe is None:
            return Encoded([states[0]], rule="all")
        if not self.noted:
            embeddings, negative = arguments.get("prompt_embeds"), arguments.get("negative_prompt_embeds")
            if embeddings is not None:
                return Encoded(self._repeat(embeddings), other_states=[] if negative is None else list(negative))
            self.encode_prompts()
        if not self.noted:
            raise UserError("no encode_prompt encoded the text, so it is unknown which rows have it", fix=NAME_TEXT)
        of_call = listed(arguments.get("prompt"))
        for prompts in (of_call, named.prompts):
            self.noted = [_part(encoded, prompts) for encoded in self.noted]
            for encoded in self.noted:
                if prompts and {*encoded.texts.get("prompt", ())} == {*prompts}:
                    return encoded
        encoded, *more = self.noted
        if more or len({*encoded.texts.get("prompt", ())}) > len(self._repeat(of_call or named.prompts)) > 0:
            fix = NAME_STATES if named.prompts else NAME_TEXT
            raise UserError("several texts were encoded, and none is the call's prompt", fix=fix)
        return encoded

    def _repeat(self, prompts: Iterable[Any]) -> list[Any]:
        """Each prompt, or its state, once for each picture that the call draws of it."""
        count = next((int(self.arguments[name]) for name in PER_PROMPT if self.arguments.get(name)), 1)
        return [prompt for prompt, _ in product(prompts, range(count))]


def _part(encoded: Encoded, prompts: Sequence[str]) -> Encoded:
    """The part of an encoding with these prompts, if it has other texts, too; otherwise the whole encoding."""
    rows = [(state, encoded.texts_of(number)) for number, state in enumerate(encoded.states)]
    own = [row for row in rows if row[1].get("prompt") in prompts]
    if not own:
        return encoded
    texts = {name: [of_row[name] for _, of_row in own] for name in encoded.texts}
    others = [state for state, of_row in rows if of_row["prompt"] not in prompts]
    states = [state for state, _ in own]
    return replace(encoded, states=states, texts=texts, other_states=[*encoded.other_states, *others])


def _check_distinct(prompts: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> None:
    """Raise UserError if another text equals a prompt, because then it is unknown which rows draw the picture. prompts:
    their states. others: the states of all other encoded texts."""
    for state, other in product(prompts, others):
        # `match` compares only the common columns. A shorter text that begins like the prompt would seem equal.
        if state.shape == other.shape and match([state], [other]) == [0]:
            problem = "equals a prompt, so which rows draw the picture is unknown"
            raise UserError("negative_prompt", problem, "give another one")


def encode_texts(family: Family, pipe: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """The state (T, D) of each text, from the pipeline's own tokenizer and text encoder. Raises UserError if they
    cannot encode it."""
    device = getattr(pipe, "_execution_device", "cpu")
    try:
        with torch.no_grad():
            if hasattr(pipe, "encode_prompt"):
                found = family.encode(pipe, texts, device)
                return list(next(found[name] for name in STATES if name in found))
            limit = pipe.tokenizer.model_max_length
            how = {"padding": "max_length", "max_length": limit, "truncation": True, "return_tensors": "pt"}
            tokens = pipe.tokenizer(list(texts), **how)
            return list(pipe.text_encoder(tokens.input_ids.to(device))[0])
    except Exception as error:
        problem = f"cannot be encoded, so it is unknown which rows have it ({first_line(error)})"
        raise UserError(f"'{texts[0]}'", problem, "give the states, capture(pipe, prompt='…', states=…)") from error


def listed(texts: Any) -> list[str]:
    """A list of texts. texts: one text, several texts, or None for an empty list."""
    return list(texts or ()) if isinstance(texts, list | tuple | None) else [texts]
