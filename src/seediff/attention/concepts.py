"""Concepts, as in ConceptAttention (Helbling et al., ICML 2025): words that pass through a transformer's text stream beside the prompt.

    score(p, c) = ⟨picture's output at p, concept's output⟩,   mean over the chosen blocks and the steps

Concepts use the text stream's weights. They attend to the picture and to each other, and nothing attends to them. A block does exactly
this if its text is the concepts. So each block runs a second time, with the same picture as input and the concepts in place of the
prompt, and only the concepts of that run are kept. Outputs are the concatenated outputs of the heads, before the last projection.

Written from the equations. The authors take one T5 token per concept; here (this project's choice) a concept is the mean of the states of
its word's tokens, over all tokenizers that have columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..config.names import spoken
from ..errors import UserError
from ..models.compiled import MARK
from ..models.families.base import Joint, Layer
from ..prompts.tokens import locate_columns
from .recorder import AttentionRecorder

if TYPE_CHECKING:
    from ..models.registry import Model

BACKGROUND = ("background", "floor", "grass", "tree", "sky")
"""The authors' concepts for the background."""


@dataclass(frozen=True)
class Concepts:
    """The concepts of one image: names, and their states (C, D) from the model's text encoders."""

    names: tuple[str, ...]
    states: torch.Tensor


def read_concepts(model: Model, classes: Sequence[Sequence[str]]) -> list[Concepts]:
    """The concepts of each image: its classes, then the words of BACKGROUND that are not among them and that the model knows."""
    known = [name for name in BACKGROUND if model.known_words is None or name in model.known_words]
    names = [(*of_image, *(name for name in known if name not in of_image)) for of_image in classes]
    words = list(dict.fromkeys(name for of_image in names for name in of_image))
    texts = [spoken(word) for word in words]
    states = model.family.encode(model.pipe, texts, model.device)["encoder_hidden_states"]
    model.rest()
    columns = [list(locate_columns(model.readers, text, [word])[word]) for text, word in zip(texts, words, strict=True)]
    state = {word: states[number, of_word].mean(0) for number, (word, of_word) in enumerate(zip(words, columns, strict=True))}
    return [Concepts(of_image, torch.stack([state[name] for name in of_image])) for of_image in names]


class ConceptStream:
    """Takes the concepts of every image through the blocks of a network, in each call."""

    def __init__(self, network: Any, recorder: AttentionRecorder, concepts: Sequence[Concepts]) -> None:
        self.recorder = recorder
        self.concepts = concepts
        self.embed = network.get_submodule(recorder.family.embeds_text)
        self.states: list[torch.Tensor] = []  # per image, (1, C, width)
        self.picture = self.output = torch.empty(0)  # inputs of the last projections

    def hook(self, network: Any, layers: Mapping[str, Layer], chosen: Collection[str]) -> list[Any]:
        """Register the hooks and return their handles. chosen: the layers whose scores count. Raises UserError if none of them has a text
        stream, or if the network is compiled."""
        if hasattr(network, MARK):
            raise UserError("capture.concepts = true: blocks run twice for them, which a compiled network cannot; leave --compile out")
        recorder = self.recorder
        streams = [name for name, layer in layers.items() if isinstance(layer, Joint) and len(layer.queries) == 2]
        streams = [name for name in streams if getattr(network.get_submodule(name), "to_add_out", None) is not None]
        wanted = [name for name in streams if name in chosen]
        if not wanted:
            blocks = f"{streams[0]} to {streams[-1]}"
            raise UserError(
                f"layers = {recorder.config.layers}: concepts need blocks whose text has a stream of its own; these are {blocks}"
            )
        handles = []
        for name in streams[: streams.index(wanted[-1]) + 1]:
            attention, block = network.get_submodule(name), network.get_submodule(name.rpartition(".")[0])
            handles += [
                attention.to_out[0].register_forward_pre_hook(partial(self.keep, "picture")),
                attention.to_add_out.register_forward_pre_hook(partial(self.keep, "output")),
                block.register_forward_hook(partial(self.follow, name, name == streams[0], name in wanted), with_kwargs=True),
            ]
        return handles

    def keep(self, which: str, _module: Any, args: tuple[torch.Tensor, ...]) -> None:
        setattr(self, which, args[0])

    def follow(self, name: str, first: bool, counts: bool, block: Any, args: Any, kwargs: Mapping[str, Any], _output: Any) -> None:
        """Forward hook of a block: take the concepts through it, image by image."""
        recorder = self.recorder
        if not recorder.recording:
            return
        picture, batch = self.picture, len(self.picture)
        rows = recorder.conditional(torch.arange(batch)).tolist()
        recorder.recording = False  # so that the other hooks ignore the block's second run
        try:
            with torch.no_grad():
                if first:
                    self.states = [self.embed(concepts.states[None].to(picture)) for concepts in self.concepts]
                for image, row in enumerate(rows):
                    given = {key: _of_row(value, row, batch) for key, value in kwargs.items()}
                    columns = kwargs["encoder_hidden_states"].shape[1]
                    states = self.states[image]
                    given |= {"encoder_hidden_states": states} | _without_prompt(kwargs, columns, states.shape[1])
                    self.states[image] = block(**given)[0]
                    if counts:
                        recorder.add_concepts(name, image, picture[row].float() @ self.output[0].float().T)
        finally:
            recorder.recording = True


def _of_row(value: Any, row: int, batch: int) -> Any:
    """An argument of a block for one image of the batch."""
    return value[row : row + 1] if isinstance(value, torch.Tensor) and len(value) == batch else value


def _without_prompt(kwargs: Mapping[str, Any], columns: int, count: int) -> dict[str, Any]:
    """Replacements for the arguments about the prompt's columns, for `count` concepts: no mask, and all at the first column's position."""
    changed: dict[str, Any] = {name: None for name in ("attention_mask",) if name in kwargs}
    rotary = kwargs.get("image_rotary_emb")
    if rotary is not None:
        changed["image_rotary_emb"] = tuple(torch.cat([part[:1].expand(count, -1), part[columns:]]) for part in rotary)
    return changed
