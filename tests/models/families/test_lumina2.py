"""Lumina 2's narrow twin: pictures behind texts of several lengths in one batch, fewer heads of keys, an instruction before the prompt."""

import torch
from builders.families import SPECS, generate, spelled
from builders.reference_attentions.lumina2 import read

from seediff.attention.capture import capture_attention
from seediff.attention.photograph import capture_clean, encode_images, run_clean
from seediff.config.constants import CaptureConfig

N = 4 * 4


def test_words_are_found_behind_the_instruction(model):
    assert spelled(model, SPECS[:2]) == [{"dog": "dog"}, {"cat": "cat", "pottedplant": "potted plant"}]


def test_padding_is_not_attended_to(model):
    first, second = generate(model, capture=CaptureConfig(normalize=False))[1]
    own, longest = (read(model, spec.prompt) for spec in SPECS[:2])
    assert own < longest == first.cross_attention[4, 4].shape[1]
    assert float(first.cross_attention[4, 4][:, own:].abs().max()) == 0
    assert float(second.cross_attention[4, 4][:, own:].min()) > 0


def test_the_first_blocks_see_the_picture_alone(model):
    layers = model.family.layers(model.network)
    assert [name.split(".")[0] for name in layers] == ["noise_refiner", "layers", "layers"]
    (maps,) = capture_clean(model, encode_images(model, generate(model, SPECS[:1])[0]), ["a dog"], [["dog"]], timestep=300, kind="self")
    torch.testing.assert_close(maps.self_attention[4, 4].sum(1), torch.ones(N))


def test_output_vectors_are_the_pictures(model):
    """Of two texts in one batch, those that each has alone."""
    latents, name = encode_images(model, generate(model, SPECS[:2])[0]), "layers.1.attn"
    prompts = [spec.prompt for spec in SPECS[:2]]

    def outputs(numbers):
        with capture_attention(model.network, CaptureConfig(), guidance=False, outputs=[name]) as recorder:
            run_clean(model, latents[numbers], [prompts[number] for number in numbers], timestep=300)
        return [recorder.outputs(number)[name] for number in range(len(numbers))]

    for number, together in enumerate(outputs([0, 1])):
        torch.testing.assert_close(together, outputs([number])[0], atol=1e-4, rtol=1e-4)
