"""`Reader`: a tokenizer of a model, what its pipeline makes of a prompt before, and where the tokens are afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from ...errors import UserError, first_line

if TYPE_CHECKING:
    from .family import Family

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
    """Prompt → (the text that the tokenizer reads, where the prompt begins in it); None: the prompt is this text."""
    adds_tokens: bool = True
    """Whether the tokenizer adds start and end tokens."""
    convert: Callable[[str], str] = str
    """Prompt → the prompt as the pipeline changes it first, for example to lower case."""


def prefixed(start: str, prompt: str) -> tuple[str, int]:
    """(text, place), for `Reader.wrap`. text: `start`, then the prompt. place: where the prompt begins in it."""
    return start + prompt, len(start)


def stripped(prompt: str) -> tuple[str, int]:
    """(text, place), for `Reader.wrap`. text: the prompt without white space around it. place: how much later a
    character stands in the text than in the prompt, 0 or negative."""
    return prompt.strip(), len(prompt.lstrip()) - len(prompt)


def chat_prompt(render: Callable[[str], str], prompt: str) -> tuple[str, int]:
    """(chat, place), for `Reader.wrap` of a language model that reads the prompt in a chat. place: where the prompt
    begins in the chat. render: prompt → chat."""
    mark = "\ue000"  # a private-use character, in no template or prompt
    return render(prompt), render(mark).index(mark)


def qwen_chat(tokenizer: Any, thinking: bool, prompt: str) -> str:
    """The chat in which Qwen3 reads a prompt. tokenizer: has the chat's template. thinking: whether Qwen3 may think."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)


def named_readers(family: Family, tokenizers: Sequence[Any]) -> tuple[Reader, ...]:
    """The readers of tokenizers that a script named without their pipeline: those that a pipeline of the family makes
    of them, with its own templates. Raises UserError unless they are the tokenizers whose tokens have columns."""
    import diffusers
    from torch.nn import Identity

    # 1. A pipeline without other parts
    family = family.of_tokenizers(*tokenizers)
    kind = getattr(diffusers, family.pipelines[0])
    parameters = signature(kind).parameters
    parts: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty:
            parts[name] = None
        if re.fullmatch(r"text_encoder_\d", name):
            parts[name] = Identity()  # as if it were there
    if "requires_safety_checker" in parameters:
        parts["requires_safety_checker"] = False

    # 2. Its tokenizers. If it has several, each is known by its class
    names = [name for name in TOKENIZERS if name in parts]
    for name in names:
        classes = parameters[name].annotation if len(names) > 1 else object
        parts[name] = next((each for each in tokenizers if isinstance(each, classes)), None)
    try:
        readers = [reader for reader in family.readers(kind(**parts)) if reader.first is not None]
    except Exception as error:  # another program's tokenizer may lack anything
        problem = f"is not as {family.title}'s pipeline has it ({first_line(error)})"
        raise UserError("tokenizer", problem, f"give pipe.{family.reads_text}, or name columns") from error
    if any(reader.tokenizer is None for reader in readers):
        needed = list({reader.first: f"pipe.{reader.name}" for reader in readers}.values())
        fix = f"tokenizer={needed[0]}" if len(needed) == 1 else f"tokenizer=[{', '.join(needed)}]"
        raise UserError("tokenizer", f"is not all that reads columns of {family.title}", fix)
    return tuple(readers)
