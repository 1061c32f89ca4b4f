import json

import torch
from builders.families import SPECS, generate

from seediff.attention.see_photos import encode_images
from seediff.models.registry import load_model


def test_latents_are_what_the_pipeline_decodes(model):
    """Its decoding, undone: times each channel's deviation, plus its mean, and four places apart."""
    image, pipe = generate(model, SPECS[:1])[0][0], model.pipe
    norm = pipe.vae.bn
    mean, deviation = (values.view(1, -1, 1, 1) for values in (norm.running_mean, (norm.running_var + 1e-5).sqrt()))
    latents = pipe._unpatchify_latents(encode_images(model, [image]) * deviation + mean)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(latents, pipe.vae.encode(pixels).latent_dist.mode())


def test_the_model_that_writes_prompts_again_is_left_out(folder, tmp_path):
    """Its folder is not even looked at."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index |= {"pe": ["transformers", "Ministral3ForCausalLM"], "pe_tokenizer": ["transformers", "TokenizersBackend"]}
    (tmp_path / "model_index.json").unlink()
    (tmp_path / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    assert load_model(str(tmp_path), device="cpu").pipe.pe is None
