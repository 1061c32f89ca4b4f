import torch

from recipes.mini.text import build_text_encoder, build_tokenizer


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
