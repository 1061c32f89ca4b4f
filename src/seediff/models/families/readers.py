"""`Reader`: a tokenizer of a model, and how the model's pipeline passes a prompt to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reader:
    """One of a model's tokenizers, and where its tokens are among the T text columns."""

    name: str
    """The tokenizer's name in the pipeline."""
    tokenizer: Any
    limit: int
    """The maximum number of tokens that the pipeline reads, with special tokens."""
    first: int | None = 0
    """The text column of the first token; None if tokens have no columns. It is negative if the pipeline cuts the
    beginning off. For example, if of `Describe the image: a dog` the first four tokens are cut off, `first` is −4:
    token 4, `a`, is column 0, and `dog` is column 1."""
    end: int | None = None
    """The column after the last token, for pipelines whose padding comes before the text."""
    tail: int = 0
    """The number of columns at the end that belong to a template. They come last, however long the text is."""
    wrap: Callable[[str], tuple[str, int]] | None = None
    """Prompt → (the text that the tokenizer reads, where the prompt begins in it)."""
    adds_tokens: bool = True
    """Whether the tokenizer adds start and end tokens."""
    convert: Callable[[str], str] = str
    """Prompt → the prompt as the tokenizer reads it, for example in lower case."""


def prefixed(start: str, prompt: str) -> tuple[str, int]:
    """For `Reader.wrap`: (text, place). text: `start` and then the prompt. place: where the prompt begins in it."""
    return start + prompt, len(start)


def stripped(start: str, prompt: str) -> tuple[str, int]:
    """For `Reader.wrap`: (text, place). text: `start` and then the prompt without the blanks around it. place: what is
    added to a character's position in the prompt to get its position in the text."""
    return start + prompt.strip(), len(start) + len(prompt.lstrip()) - len(prompt)


def chat_prompt(render: Callable[[str], str], prompt: str) -> tuple[str, int]:
    """For `Reader.wrap` of a language model that reads the prompt in a chat: (chat, place). render: prompt → chat.
    place: where the prompt begins in the chat."""
    mark = "\ue000"  # a private-use character, in no template or prompt
    return render(prompt), render(mark).index(mark)


def qwen_chat(tokenizer: Any, thinking: bool, prompt: str) -> str:
    """The chat in which Qwen3 reads a prompt. thinking: whether the chat allows it to think."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)
