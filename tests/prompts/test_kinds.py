"""Kinds of tokens, of every way in which the families read a prompt."""

import pytest

from recipes.mini.text import build_tokenizer
from seediff.models.families.base import Reader
from seediff.models.registry import load_model
from seediff.prompts.kinds import token_kinds
from seediff.prompts.tokens import locate_columns

PROMPT = "a photo of a dog, and the sofa"


def test_by_hand():
    tokenizer = build_tokenizer()
    kinds = token_kinds([Reader("tokenizer", tokenizer, tokenizer.model_max_length)], "a Dog and a sofa.", 10)
    stop, padding = "stop word", "padding"
    assert kinds == ("start", stop, "content", stop, stop, "content", "punctuation", "end", padding, padding)
    assert token_kinds([Reader("tokenizer", tokenizer, tokenizer.model_max_length)], "", 3) == ("start", "end", padding)


@pytest.mark.parametrize("family", ["unet", "sd3", "flux", "pixart", "qwen_image", "z_image", "lumina2", "sana"])
def test_words_of_every_family(twin, family):
    """CLIP, T5, both beside each other, and the encoders that read a chat."""
    model = load_model(str(twin(family)), device="cpu")
    words = locate_columns(model.readers, PROMPT, ["dog", "sofa"])
    columns = max(column for of in words.values() for column in of) + 20
    kinds = token_kinds(model.readers, PROMPT, columns)
    assert len(kinds) == columns
    assert {n for n, kind in enumerate(kinds) if kind == "content"} == {column for of in words.values() for column in of}
    stops = {column for word in ("a", "photo", "of", "and", "the") for column in locate_columns(model.readers, PROMPT, [word])[word]}
    assert {n for n, kind in enumerate(kinds) if kind == "stop word"} <= stops
    assert "punctuation" in kinds


def test_tokens_of_no_column():
    assert token_kinds([Reader("tokenizer", None, 4, first=None)], "a dog", 2) == ("padding", "padding")
