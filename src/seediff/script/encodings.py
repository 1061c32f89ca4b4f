"""What a pipeline encodes in one call, and which of it is the prompt.

    encode_prompt(arguments) ─▶ note ─▶ Encoded ─┐
    the call's prompt, or what the script named ─┴▶ choose ─▶ Encoded, the prompt

The prompt's states are what the pipeline's `encode_prompt` returned, or what the script named (`states=`). If the
pipeline has no such method, or did not use it, capture encodes the prompt once itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from typing import Any

import torch

from ..errors import UserError, first_line
from ..models.families.family import Family
from ..models.families.readers import Reader
from ..prompts.tokens import find_weight
from .which_rows import NAME_TEXT, Encoded, match

STATES = ("encoder_hidden_states", "cap_feats", "text_bth")
"""Networks' names for the text states."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument for the text that comes before the prompt."""
PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""Arguments of pipelines, and of each `encode_prompt` that repeats the texts itself."""


@dataclass(frozen=True)
class NamedText:
    """What a script says of the text that a pipeline draws, in `capture(pipe, prompt=…, tokenizer=…, states=…)`."""

    prompts: tuple[str, ...]
    readers: Sequence[Reader] | None
    """The named tokenizer; None: the pipeline's own tokenizers."""
    states: Sequence[torch.Tensor] | None
    """The state of each text, (T, D)."""

    @classmethod
    def of(cls, prompt: str | Sequence[str] | None, tokenizer: Any, states: Any) -> NamedText:
        """From the options of `capture`. Raises UserError for values of wrong kinds, and for a text with weights."""
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


class Encodings:
    """What a pipeline encodes in one call. `choose` finds the prompt among it, in this order:

        the script named states         these, in any rows of a batch
        a network alone                 the text of a batch's first row, which all rows must have
        one encoding                    this encoding
        several encodings               the first of the call's prompt, or else of the prompt that the script named
        none, but prompt_embeds=…       these arguments of the call
        none                            capture's own encoding of the call's prompt, or else of the named prompt

    pipe: the pipeline; None: a network alone. named: what the script says of the text. arguments: the arguments of the
    pipeline's call, by name.
    """

    def __init__(self, family: Family, pipe: Any, named: NamedText, arguments: Mapping[str, Any]) -> None:
        self._family, self._pipe, self._named, self._arguments = family, pipe, named, arguments
        self._noted: list[Encoded] = []
        """The encodings, in the order in which they were made."""
        self._is_own = False
        """Whether capture itself encodes a text now."""
        self._own: Encoded | None = None
        """Capture's own encoding of the prompt, once it was made."""

    def note(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Remember an encoding that the pipeline made before the first step. arguments: those of `encode_prompt`, by
        name. output: what it returned. Raises UserError if the words of the text could not be located."""
        states, *beside = output if isinstance(output, tuple) else (output,)
        if states is None or self._is_own:
            return
        names = [name for name in ("prompt", "prompt_2", "prompt_3") if arguments.get(name) is not None]
        texts = {name: listed(arguments[name]) for name in names}
        clean = getattr(self._pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=arguments.get("clean_caption", False))
        usual = inspect.signature(type(self._pipe).__call__).parameters.get(INSTRUCTION)
        if texts and usual is not None and listed(arguments.get(INSTRUCTION)) != listed(usual.default):
            raise UserError(INSTRUCTION, "words can be located only with the pipeline's own", "leave it out")
        others = [part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim > 2)]
        if not any(name in arguments for name in PER_PROMPT):
            states = self._repeat(states)
        self._noted.append(Encoded(list(states), texts, [*chain.from_iterable(others)]))

    def encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """The state of each text, which capture itself encodes as the pipeline encodes prompts."""
        self._is_own = True
        try:
            return encode_texts(self._family, self._pipe, texts)
        finally:
            self._is_own = False

    def encode_own(self) -> None:
        """Encode the call's prompt, or else the prompt that the script named, once and without the pipeline's help.
        Where a pipeline has no `encode_prompt`, this is done before it draws, so that whoever looks at the network's
        calls does not find the text encoder in them. Raises UserError if that is impossible."""
        prompts = listed(self._arguments.get("prompt")) or list(self._named.prompts)
        if prompts and self._own is None:
            self._own = Encoded(self._repeat(self.encode(prompts)), {"prompt": prompts})

    def choose(self, states: Sequence[torch.Tensor]) -> Encoded:
        """The encoded prompt, by the class's table. states: the text state of each row in a call of the network. Raises
        UserError if the prompt is unknown, and for a negative prompt that equals it."""
        named, arguments = self._named, self._arguments
        texts = {"prompt": named.prompts} if named.prompts else {}
        if named.states is not None:
            return Encoded(named.states, texts, rule="any")
        if self._pipe is None:
            return Encoded([states[0]], texts, rule="all")
        embeddings, prompts = arguments.get("prompt_embeds"), listed(arguments.get("prompt"))
        if len(self._noted) == 1:
            prompt = self._noted[0]
        elif self._noted:
            prompt = self._first_of(prompts) or self._first_of(list(named.prompts))
            if prompt is None:
                raise UserError("several texts were encoded, and none is the call's prompt", fix=NAME_TEXT)
        elif embeddings is not None:
            negative = arguments.get("negative_prompt_embeds")
            prompt = Encoded(self._repeat(embeddings), {}, [] if negative is None else list(negative))
        else:
            self.encode_own()
            if self._own is None:
                raise UserError("no encode_prompt encoded the text, so it is unknown which rows have it", fix=NAME_TEXT)
            prompt = self._own
        others = [*prompt.other_states]
        for encoded in self._noted:
            if encoded.texts != prompt.texts:  # some pipelines encode the prompt twice
                others += [*encoded.states, *encoded.other_states]
        for state, other in product(prompt.states, others):
            # A shorter text may begin like the prompt, and does not equal it.
            if state.shape == other.shape and match([state], [other]) == [0]:
                problem = "equals a prompt, so which rows draw the picture is unknown"
                raise UserError("negative_prompt", problem, "give another one")
        return replace(prompt, texts=prompt.texts or texts, other_states=others)

    def _first_of(self, prompts: Sequence[str]) -> Encoded | None:
        """The first encoding of these prompts, if there is one."""
        return next((each for each in self._noted if prompts and list(each.texts.get("prompt", ())) == prompts), None)

    def _repeat(self, states: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """The state of each picture. states: the state of each prompt."""
        count = next((int(self._arguments[name]) for name in PER_PROMPT if self._arguments.get(name)), 1)
        return [state for state, _ in product(states, range(count))]


def encode_texts(family: Family, pipe: Any, texts: Sequence[str]) -> list[torch.Tensor]:
    """The state of each text, from the pipeline's own tokenizer and text encoder. Raises UserError if that is
    impossible."""
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
    """One text, several texts or None, as a list."""
    return list(texts or ()) if isinstance(texts, list | tuple | None) else [texts]
