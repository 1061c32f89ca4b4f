import shutil

import pytest
import torch
from builders.families import denoised
from builders.single_files import configure

from seediff.models.describe import describe_model
from seediff.prompts.tokens import locate_columns

pytestmark = pytest.mark.slow


def test_a_place_for_an_image_is_no_word(model):
    """The pipeline takes it out of the prompt."""
    prompts = "a photo [IMG]of a cat", "a photo of a cat"
    with torch.no_grad():
        inputs = model.network_inputs(prompts, 64, 64)
    torch.testing.assert_close(*inputs["encoder_hidden_states"])
    with_place, without = (locate_columns(model.readers, prompt, ("cat",)) for prompt in prompts)
    assert with_place == without


def test_latents_are_packed_as_the_pipeline_packs(model):
    latents, pipe = torch.randn(2, 4, 16, 24), model.pipe
    predicted, given, own = denoised(model, latents, "a dog", "a cat")
    torch.testing.assert_close(given["hidden_states"], pipe._pack_latents(pipe._patchify_latents(latents)))
    grid = pipe._unpack_latents_with_ids(own, given["img_ids"])
    torch.testing.assert_close(predicted, pipe._unpatchify_latents(grid))


def test_a_tokenizer_is_not_known_before_the_pipeline_whose_text_it_reads(model, tmp_path):
    """Where torchvision is installed, the files' tokenizer can be loaded, but not the pipeline's message around it."""
    folder = shutil.copytree(model.info.files.folder, tmp_path / "model")
    configure(folder / "model_index.json", tokenizer=["transformers", "PreTrainedTokenizerFast"])
    assert describe_model(str(folder)).readers == ()
