"""What pipelines and networks are given: texts, as each tokenizer (`Reader`) reads them; the request to draw; and the
sizes in a network call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ..hooks import NetworkInputs
from ..layers import Grid

if TYPE_CHECKING:
    from torch import Generator

TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "processor")
"""Pipelines' names for their tokenizers."""


@dataclass(frozen=True)
class Reader:
    """One of a model's tokenizers, and where its tokens are among the T text columns."""

    name: str
    """The pipeline's name for the tokenizer."""
    tokenizer: Any
    limit: int
    """The maximum number of tokens that the pipeline reads, including special tokens."""
    first: int | None = 0
    """The text column of the first token; None if tokens have no columns. It is negative if the pipeline cuts off the
    beginning. For example, it cuts off the first four tokens of `Describe the image: a dog`. Then `first` is −4: token
    4, `a`, is column 0, and `dog` is column 1."""
    end: int | None = None
    """The column after the last token, if the pipeline puts padding before the text; None: padding comes after it."""
    tail: int = 0
    """The number of columns at the end that belong to a template, however long the prompt is."""
    wrap: Callable[[str], tuple[str, int]] | None = None
    """Prompt → (the text that the tokenizer reads, how much later each character of the prompt stands in it); None: the
    prompt is this text."""
    adds_tokens: bool = True
    """Whether the tokenizer adds start and end tokens."""
    convert: Callable[[str], str] = str
    """Prompt → the prompt as the pipeline changes it first, for example to lower case."""


# Functions for `Reader.wrap`. They return (text, shift): what the tokenizer reads, and how much later each character of
# the prompt stands in it.


def prefixed(start: str, prompt: str) -> tuple[str, int]:
    """`start`, then the prompt."""
    return start + prompt, len(start)


def templated(template: str, prompt: str) -> tuple[str, int]:
    """The template with the prompt in place of {}."""
    return template.format(prompt), template.index("{}")


def stripped(prompt: str) -> tuple[str, int]:
    """The prompt without white space around it. The shift is 0 or negative."""
    return prompt.strip(), len(prompt.lstrip()) - len(prompt)


def chat_prompt(render: Callable[[str], str], prompt: str) -> tuple[str, int]:
    """The chat in which a language model reads the prompt. render: prompt → chat."""
    mark = "\ue000"  # a private-use character, in no template or prompt
    return render(prompt), render(mark).index(mark)


def qwen_chat(tokenizer: Any, thinking: bool, prompt: str) -> str:
    """The chat in which Qwen3 reads a prompt. tokenizer: has the chat's template. thinking: whether Qwen3 may think."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)


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
    shown: tuple[Grid, ...] = ()
    """(height, width) of each picture that the network is shown besides the one that it draws, as in editing, in
    positions."""
    skipped_texts: int = 0
    """The number of text columns before and between the shown pictures."""

    @property
    def lattice(self) -> Grid:
        """(height, width) of L, in positions."""
        return self.height, self.width

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
