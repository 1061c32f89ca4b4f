import torch
from builders.families import SPECS, generate
from builders.plans import capturing
from builders.reference_attentions.sd3 import save_sd3

from seediff.attention.see_photos import capture_clean, encode_images, read_prompts
from seediff.config.methods import EVERYTHING, CaptureConfig
from seediff.masks.presence import denoising_errors
from seediff.models.registry import load_model

N = 16 * 16


def test_words_without_t5(tmp_path):
    """Without T5 its columns are zeros, which are attended to all the same."""
    old = load_model(str(save_sd3(tmp_path / "old", qk_norm=None, t5=False)), device="cpu")
    assert generate(old)[1][1].words == {"cat": (5,), "pottedplant": (8, 9)}


def test_text_alone_is_the_same_when_nothing_else_is_captured(model):
    latents = encode_images(model, generate(model, SPECS[:1])[0])
    found = []
    kinds = ({"cross": None}, EVERYTHING)
    for reads in kinds:
        with (
            capturing(model.network, CaptureConfig(text_share="text"), reads=reads) as recorder,
            torch.no_grad(),
        ):
            condition = read_prompts(model, ["a dog"], latents)
            model.denoise(latents, 200, condition)
        found.append(recorder.maps([{}], ["a dog"])[0].cross_attention[16, 16])
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)


def test_self_attention_of_a_clean_photograph_is_among_its_positions(model):
    (maps,) = capture_clean(model, torch.randn(1, 4, 32, 32), timestep=300, kind="self")
    for rows in maps.self_attention.values():
        torch.testing.assert_close(rows.sum(1), torch.ones(N))


def test_noise_is_the_pipelines(model):
    """A level t of 1000 is a share t / 1000 of noise, which is what the network is told."""
    latents, noise = torch.randn(2, 1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    a, b = model.family.mix(model.pipe, 250)
    by_scheduler = model.pipe.scheduler
    by_scheduler.sigmas, by_scheduler.timesteps = torch.tensor([0.25, 0.0]), torch.tensor([250.0])
    torch.testing.assert_close(a * latents + b * noise, by_scheduler.scale_noise(latents, torch.tensor([250.0]), noise))
    assert denoising_errors(model, latents[0], ["a dog", "a cat"], timesteps=[400, 600]).shape == (2, 2, 32, 32)
