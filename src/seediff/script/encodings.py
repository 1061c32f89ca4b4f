"""What a pipeline encodes in one call, and which of it is the prompt.

    encode_prompt(arguments) ─▶ note ─▶ Encoded ─┐
    the call's prompt, or what the script named ─┴▶ choose ─▶ Encoded, the prompt

The prompt's states are what the pipeline's `encode_prompt` returned, or what the script named (`states=`). If the
pipeline has no such method, did not use it, or returned all states together, capture encodes the prompt once itself.
"""

from __future__ import annotations

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

ENCODE = ("encode_prompt", "_encode_prompt")
"""Pipelines' names for the method that encodes prompts; the first that a pipeline has is used."""
STATES = ("encoder_hidden_states", "cap_feats", "text_bth")
"""Networks' names for the text states."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument for the text that comes before the prompt."""
PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""Arguments of pipelines, and of each `encode_prompt` that repeats the texts itself."""
GIVE_STATES = "give the states, capture(pipe, prompt='…', states=…)"


@dataclass(frozen=True)
class NamedText:
    """What a script says of the text that a pipeline draws, in `capture(pipe, prompt=…, tokenizer=…, states=…)`."""

    prompts: tuple[str, ...]
    readers: Sequence[Reader] | None
    """The tokenizer of the text; None: the pipeline's own."""
    states: Sequence[torch.Tensor] | None
    """The state of each text, (T, D)."""

    @classmethod
    def of(cls, prompt: str | Sequence[str] | None, tokenizer: Any, states: Any) -> NamedText:
        """From the options of `capture`. Raises UserError for a value of a wrong kind, and for a text with weights."""
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
        if states is not None:
            if torch.is_tensor(states):
                states = list(states) if states.ndim > 2 else [states]
            if not (
                isinstance(states, list) and states and all(torch.is_tensor(one) and one.ndim > 1 for one in states)
            ):
                raise UserError("states", "must be a tensor (T, D) or (B, T, D), or a list of (T, D)")
        return cls(prompts, readers, states)


class Encodings:
    """What a pipeline encodes in one call. `choose` finds the prompt among it, in this order:

        states that the script named    these, in any rows of a batch
        a network alone                 the text of a batch's first row, which all rows must have
        one encoding                    that one
        none, but prompt_embeds=…       these arguments of the call
        several encodings               the first of the call's prompt, or else of the prompt that the script named
        none                            capture's own encoding of the call's prompt, or else of the named one

    pipe: None: a network alone. named: what the script says of the text. arguments: the arguments of the pipeline's
    call.
    """

    def __init__(self, family: Family, pipe: Any, named: NamedText, arguments: Mapping[str, Any]) -> None:
        self._family, self._pipe, self._named, self._arguments = family, pipe, named, arguments
        self._noted: list[Encoded] = []
        self._prompt: Encoded | None = None
        """The encoding with the prompt, from the first call of the network on."""
        self._is_own = False
        """Whether capture itself encodes a text now."""

    def _repeat(self, states: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """The state of each picture. states: the state of each prompt."""
        count = next((int(self._arguments[name]) for name in PER_PROMPT if self._arguments.get(name)), 1)
        return [state for state, _ in product(states, range(count))]

    def encode(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """Encode texts for capture itself, and return their states."""
        self._is_own = True
        try:
            return encode_texts(self._family, self._pipe, texts)
        finally:
            self._is_own = False

    def note(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Remember what `encode_prompt` returned before the first step. arguments: the call's arguments, by name."""
        states, *beside = output if isinstance(output, tuple) else (output,)
        if states is None or self._is_own:
            return
        names = [name for name in ("prompt", "prompt_2", "prompt_3") if arguments.get(name) is not None]
        texts = {name: listed(arguments[name]) for name in names}
        clean = getattr(self._pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=arguments.get("clean_caption", False))
        if texts and INSTRUCTION in arguments:
            texts[INSTRUCTION] = ["\n".join(arguments[INSTRUCTION] or ())]
        others = [part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim > 2)]
        if not any(name in arguments for name in PER_PROMPT):
            states = self._repeat(states)
        encoded = Encoded(list(states), texts, [*chain.from_iterable(others)])
        if not isinstance(output, tuple) and arguments.get("do_classifier_free_guidance"):
            encoded = self._take_apart(encoded, arguments)
        self._noted.append(encoded)

    def _take_apart(self, encoded: Encoded, arguments: Mapping[str, Any]) -> Encoded:
        """The states of the prompt, and the others, from an older `_encode_prompt`, which returns them together."""
        wanted = arguments.get("prompt_embeds")
        if wanted is None:
            wanted = self.encode(encoded.texts["prompt"])
        prompt = replace(encoded, states=self._repeat(wanted))
        matched = match(prompt.states, encoded.states)
        numbers = [number for number, text in enumerate(matched) if text is not None][: prompt.count]
        if len(numbers) < prompt.count:
            problem = f"{len(matched)} texts were encoded together, and which is the prompt is unknown"
            raise UserError(problem, fix=GIVE_STATES)
        others = [state for number, state in enumerate(encoded.states) if number not in numbers]
        return replace(prompt, other_states=others)

    def choose(self, states: Any) -> Encoded:
        """The encoded prompt, as it is known at a call of the network. states: the batch's text states. Raises
        UserError if the prompt is unknown."""
        texts = {"prompt": self._named.prompts} if self._named.prompts else {}
        if self._named.states is not None:
            return Encoded(self._named.states, texts, rule="any")
        if self._pipe is None:
            return Encoded([states[0]], texts, rule="all")
        prompt = self._prompt = self._prompt or self._prompt_of_call()
        others = [*prompt.other_states]
        for encoded in self._noted:
            if encoded is not prompt:
                others += [*encoded.states, *encoded.other_states]
        return replace(prompt, texts=prompt.texts or texts, other_states=others)

    def _prompt_of_call(self) -> Encoded:
        """The encoding with the prompt: the last four cases in the class's table. Raises UserError if none of several
        encodings is of the prompt, and if there is neither an encoding nor a text."""
        if len(self._noted) == 1:
            return self._noted[0]
        embeddings = self._arguments.get("prompt_embeds")
        if not self._noted and embeddings is not None:
            others = self._arguments.get("negative_prompt_embeds")
            return Encoded(self._repeat(embeddings), {}, [] if others is None else list(others))
        prompts, named = listed(self._arguments.get("prompt")), list(self._named.prompts)
        for wanted in filter(None, (prompts, named)):
            for encoded in self._noted:
                if list(encoded.texts.get("prompt", ())) == wanted:
                    return encoded
        if self._noted:
            raise UserError("several texts were encoded, and none is the call's prompt", fix=NAME_TEXT)
        texts = prompts or named
        if not texts:
            raise UserError("no encode_prompt encoded the text, so it is unknown which rows have it", fix=NAME_TEXT)
        return Encoded(self._repeat(self.encode(texts)), {"prompt": texts})


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
