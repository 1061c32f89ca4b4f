import pytest
import torch
from builders.families import generate
from builders.reference_attentions.pixart import save_pixart

from seediff.config.method_constants import CaptureConfig
from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec
from seediff.prompts.tokens import locate_columns


@pytest.fixture(scope="module")
def sigma(tmp_path_factory):
    return load_model(str(save_pixart(tmp_path_factory.mktemp("models") / "sigma", sigma=True)), device="cpu")


def test_padding_is_not_attended_to(model, sigma):
    """`a photo of a dog` has nine tokens, the last of which ends it; the words are found in small letters."""
    for one, tokens in ((model, 120), (sigma, 300)):
        maps = generate(one, [SampleSpec(0, ("dog",), " A photo of a Dog", 1)], capture=CaptureConfig(normalize=False))[
            1
        ][0]
        assert maps.words == {"dog": (4, 5, 6, 7)}
        assert maps.cross_attention[16, 16].shape == (256, tokens)
        assert float(maps.cross_attention[16, 16][:, 9:].max()) == 0
        torch.testing.assert_close(maps.cross_attention[16, 16].sum(1), torch.ones(256))


@pytest.mark.parametrize("prompt", ["a photo of a DOG", "İİİ a photo of a dog"])
def test_words_are_found_in_the_small_letters_that_are_read(model, prompt):
    """The small letter of İ is two characters long."""
    (columns,) = locate_columns(model.readers, prompt, ("dog",)).values()
    ids = model.pipe.tokenizer(prompt.lower()).input_ids
    assert model.pipe.tokenizer.decode([ids[column] for column in columns]).strip() == "dog"
