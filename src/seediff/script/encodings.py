"""`Encodings`: the texts that a pipeline encodes in one call, and which of them is the prompt.

The network reads a text as its state: one vector per column, (T, D). A column is the place of one token, or of padding.

    encode_prompt(arguments) ─▶ note ─▶ Encoded ─┐
    the call's prompt, or what the script named ─┴▶ choose ─▶ Encoded: the prompt

The prompt's states are what the pipeline's `encode_prompt` returned, or what the script named (`states=`). If the
pipeline has no such method, or did not use it, capture itself encodes the prompt once.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, product
from typing import Any

import torch

from ..errors import Notice, UserError, first_line
from ..models.families import named_readers
from ..models.families.family import Family
from ..models.families.readers import Reader
from ..prompts.tokens import BREAK, find_weight
from .which_rows import NAME_STATES, NAME_TEXT, Encoded, Processed

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
    """The tokenizers that the script named; None: the pipeline's own tokenizers count."""
    states: Sequence[torch.Tensor] | None
    """The state of each text, (T, D); None: the script named no states."""

    @classmethod
    def of(cls, family: Family, prompt: str | Sequence[str] | None, tokenizer: Any, states: Any) -> NamedText:
        """The named text from these options of `capture`. Raises UserError for values of wrong kinds, for a text with
        weights, such as `(cat:1.5)`, and for other tokenizers than those whose tokens have columns."""
        prompts, readers = tuple(listed(prompt)), None
        for text in prompts:
            if not isinstance(text, str):
                raise UserError("prompt", f"{text!r}", "give a text, or a list of texts")
            weight = find_weight(text)
            if weight:
                raise UserError("prompt", f"'{weight}' looks like a weight", "give the text without weights")
        if tokenizer is not None:
            tokenizers = tokenizer if isinstance(tokenizer, list | tuple) else [tokenizer]
            for each in tokenizers:
                if not hasattr(getattr(each, "tokenizer", each), "model_max_length"):
                    fix = "give the pipeline's, tokenizer=pipe.tokenizer"
                    raise UserError("tokenizer", f"{each!r} reads no text", fix)
            readers = named_readers(family, tokenizers)
        if torch.is_tensor(states):
            states = list(states) if states.ndim > 2 else [states]
        given = isinstance(states, list) and states and all(torch.is_tensor(one) and one.ndim > 1 for one in states)
        if states is not None and not given:
            raise UserError("states", "must be a tensor (T, D) or (B, T, D), or a list of (T, D)")
        return cls(prompts, readers, None if states is None else copied(states))


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
    of_named: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    """Text that the script named for embeddings → its states, as the pipeline encodes it: whole, and in chunks."""
    processed: list[Processed] = field(default_factory=list)
    """What the pipeline's processor read last: texts with pictures in them."""
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
        texts, others = self._texts(arguments), copied(chain.from_iterable(others))
        self.noted.append(Encoded(copied(states), texts, others, processed=self.processed))
        self.processed = []

    def note_tokens(self, arguments: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Remember the tokens that the processor made of texts with pictures. arguments: the arguments of its call, by
        name. output: what it returned."""
        texts = listed(arguments.get("text"))
        if not self.is_encoding and len(texts) == len(output["input_ids"]):
            rows = zip(texts, output["input_ids"], output["attention_mask"], strict=True)
            self.processed = [Processed(text, tokens[mask.bool()].tolist()) for text, tokens, mask in rows]

    def with_texts(self, texts: Sequence[str]) -> Encoded:
        """The encoding that the pipeline made of these texts. Raises UserError if there is none."""
        for encoded in self.noted:
            if listed(encoded.texts.get("prompt")) == list(texts):
                return encoded
        raise UserError("negative_prompt", "was not encoded as prompts are", "give it as a text")

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

    def encode_named(self) -> None:
        """Encode the texts that the script named, to compare them with the embeddings that have their names. Without
        text encoders, as where they were deleted to save memory, do nothing."""
        with suppress(UserError):
            for text in self.named.prompts:
                encoded = self.encode([text])
                if BREAK in text:
                    encoded.append(torch.cat(self.encode(text.split(BREAK))))
                self.of_named[text] = encoded

    def _check_named(self, states: Sequence[torch.Tensor]) -> None:
        """Warn if embeddings are not those of the text that the script named, as far as the pipeline can encode it to
        as many columns. states: the state of each picture's text."""
        for number, state in enumerate(states):
            text = self.named.prompts[number * len(self.named.prompts) // len(states)]
            same_size = [own for own in self.of_named.get(text, ()) if own.shape == state.shape]
            if same_size and not Encoded([state], other_states=same_size).has_equal:
                problem = "is not what the embeddings were made of, as the pipeline encodes it (weights?)"
                warnings.warn(Notice(f"prompt: '{text}' {problem}: words may have other columns"), stacklevel=2)
                return

    # Which of it is the prompt

    def choose(self, states: Sequence[torch.Tensor], knows_order: bool) -> Encoded:
        """The encoded prompt. states: the state of each row in a call of the network. knows_order: as in `find_rows`;
        then a text that is encoded again is another text, such as the negative prompt. Raises UserError if the prompt
        is unknown."""
        prompt = self._prompt(states)
        others, texts = [*prompt.other_states], prompt.texts
        if not texts and self.named.prompts:
            self._check_named(prompt.states)
            texts = {"prompt": self.named.prompts}
        if prompt.rule == "one per picture":  # what else the pipeline encoded are other texts
            for encoded in self.noted:
                is_other = knows_order or encoded.texts != prompt.texts  # some pipelines encode the prompt twice
                if is_other and encoded is not prompt:
                    others += [*encoded.states, *encoded.other_states]
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
            return Encoded(copied(states[:1]), rule="all")
        if not self.noted:
            embeddings, negative = arguments.get("prompt_embeds"), arguments.get("negative_prompt_embeds")
            if embeddings is not None:
                return Encoded(
                    copied(self._repeat(embeddings)), other_states=copied([] if negative is None else negative)
                )
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
    if len(own) in (0, len(rows)):
        return encoded
    texts = {name: [of_row[name] for _, of_row in own] for name in encoded.texts}
    others = [state for state, of_row in rows if of_row["prompt"] not in prompts]
    states = [state for state, _ in own]
    return replace(encoded, states=states, texts=texts, other_states=[*encoded.other_states, *others], processed=())


def copied(states: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Copies of states, which stay as they are if a script later changes its tensors in place."""
    return [state.detach().clone() for state in states]


def encode_texts(family: Family, pipe: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """The state (T, D) of each text, from the pipeline's own tokenizer and text encoder. Raises UserError if they
    cannot encode it."""
    device = getattr(pipe, "_execution_device", "cpu")
    try:
        with torch.no_grad():
            if family.is_modular or hasattr(pipe, "encode_prompt"):
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
