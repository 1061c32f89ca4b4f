import torch

from recipes.mini.denoiser import class_tokens
from recipes.mini.sets import PLACES, caption
from recipes.mini.text import MAX_TOKENS, build_text_encoder, build_tokenizer
from seediff.config.names import spoken
from seediff.mini.scenes import CLASSES


def test_every_word_of_the_world_is_one_token():
    tokenizer = build_tokenizer()
    for name in CLASSES:
        for place in PLACES:
            text = caption((name, "dog", "cat"), place)
            ids = tokenizer(text)["input_ids"]
            assert len(ids) == len(text.replace(",", " ,").split()) + 2 <= MAX_TOKENS


def test_words_do_not_see_each_other():
    tokenizer = build_tokenizer()
    encoder = build_text_encoder(16, tokenizer).eval()
    with torch.no_grad():
        a, b = (
            encoder(torch.tensor([tokenizer(text, padding="max_length")["input_ids"]])).last_hidden_state
            for text in ("a photo of a dog on grass", "a photo of a dog at night")
        )
    assert torch.equal(a[0, :6], b[0, :6])
    assert not torch.equal(a[0, 6], b[0, 6])


def test_class_tokens_point_at_the_class_words():
    tokenizer = build_tokenizer()
    text = caption(("pottedplant", "car"), "on grass")
    weights = class_tokens([text], tokenizer)[0]
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    assert [tokens[i] for i in weights[0].nonzero().flatten()] == ["potted</w>", "plant</w>"]
    assert [tokens[i] for i in weights[1].nonzero().flatten()] == ["car</w>"]
    assert weights[2].sum() == 0
    assert weights[:2].sum(-1).tolist() == [1, 1]
    assert all(spoken(c) for c in CLASSES)
