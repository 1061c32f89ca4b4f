"""What pipelines and networks are given: the request to draw, and the sizes in a network call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ..hooks import NetworkInputs

if TYPE_CHECKING:
    from torch import Generator

LATENTS_INPUTS = ("sample", "hidden_states", "x")
"""Networks' names for the input with the latents."""
TIMESTEP_INPUTS = ("timestep", "t")
"""Networks' names for the input with the noise level."""
PLAIN_ARGUMENTS = {
    "num_images_per_prompt": 1,
    "do_classifier_free_guidance": False,
    "clean_caption": False,
    "use_resolution_binning": False,
}
"""Argument → value, for pipelines and their `encode_prompt`, as far as they have the argument. With these values a
pipeline draws one picture of the requested size, from the unchanged prompt."""


def class_names(thing: Any) -> list[str]:
    """The names of a thing's class and of all classes that it inherits from, its own first."""
    return [cls.__name__ for cls in type(thing).__mro__]


@dataclass(frozen=True)
class DrawRequest:
    """What a pipeline is asked to draw: one image for each prompt, `height` × `width` pixels."""

    prompts: Sequence[str]
    negative_prompt: str
    height: int
    width: int
    steps: int
    guidance_scale: float
    generators: Sequence[Generator]


def plain_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The entries of PLAIN_ARGUMENTS that a pipeline's function takes."""
    taken = signature(function).parameters
    return {name: value for name, value in PLAIN_ARGUMENTS.items() if name in taken}


@dataclass(frozen=True)
class CallShape:
    """The sizes of what a network call is given."""

    batch: int
    """The number of images or clips."""
    height: int
    """Height of the lattice in positions."""
    width: int
    text_columns: int | None
    """The number of the prompt's columns; None: unknown."""
    frames: int = 1
    """The number of latent frames that each clip has; 1 for images."""
    shown: tuple[tuple[int, int], ...] = ()
    """(height, width) of each picture that the network is shown besides the one that it draws, as in editing, in
    positions."""
    skipped_texts: int = 0
    """The number of text columns before and between the shown pictures."""

    @property
    def other_columns(self) -> int:
        """The number of columns that are neither the drawn picture's nor the text's."""
        return self.skipped_texts + sum(map(prod, self.shown))


def state_columns(inputs: NetworkInputs) -> int | None:
    """The number of columns of the text's states in a network call; None: the call has no such states."""
    states = inputs.get("encoder_hidden_states")
    return None if states is None else states.shape[1]


def latents_of(inputs: NetworkInputs) -> Any:
    """The latents among the inputs of a network call."""
    for name in LATENTS_INPUTS:
        if name in inputs:
            return inputs[name]
    raise UserError("the network", f"was given no latents, but {', '.join(inputs)}")
