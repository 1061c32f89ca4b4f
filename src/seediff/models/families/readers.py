"""`Reader`: one of a model's tokenizers, what its pipeline makes of a prompt before, and where the tokens are
afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
