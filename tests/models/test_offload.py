"""Parts that take turns on a device, by diffusers' own hooks, on a pretended device: the same bytes, and never two
large ones at a time.
"""

import pytest
import torch
from builders.families import SPECS, generate
from builders.off_cpu import elsewhere, offloaded_elsewhere
from builders.plans import plan_of
from builders.reference_attention import BOOKS

from seediff.attention.photograph import capture_images, denoising_errors, encode_images, run_clean
from seediff.models.registry import load_model

NAMES = [name for name in BOOKS if name not in ("unet", "lcm")]  # their UNet is XL's
SOME = ("xl", "flux", "qwen_image")
"""Sequential offload moves modules, whatever the family: tried on a UNet, and on two transformers with different
autoencoders.
"""


@pytest.fixture(scope="module")
def model(request, twin):
    return load_model(str(twin(request.param)), device="cpu")


def path(model, device):
    """All that commands have a model do: a picture and its maps, maps of a photograph, a call for what listens, errors
    of sentences.
    """
    spec = SPECS[0]
    images, drawn = generate(model, [spec])
    seen = capture_images(model, images, [spec.prompt], [spec.classes], timesteps=(200,), seed=1, plan=plan_of(model))[
        "all"
    ]
    latents = encode_images(model, images)
    run_clean(model, latents, timestep=50)
    errors = denoising_errors(model, latents[0], ["a dog", "a cat"], timesteps=[300])
    tensors = [
        tensor
        for one in (*drawn, *seen)
        for kind in (one.self_attention, one.cross_attention)
        for tensor in kind.values()
    ]
    return [torch.from_numpy(images[0]), *(device.take(tensor) for tensor in (*tensors, latents, errors))]


@pytest.fixture(scope="module")
def expected(model):
    """The path of a model that stays on the device."""
    with elsewhere(model) as (there, device):
        return path(there, device)


@pytest.mark.parametrize(
    ("model", "offload"), [*((n, "model") for n in NAMES), *((n, "sequential") for n in SOME)], indirect=["model"]
)
def test_the_same_values(model, expected, offload):
    """Also outside of the pipeline's call, where photographs are encoded and shown. On some CPUs the rounding of a sum
    depends on where in memory its numbers lie."""
    with offloaded_elsewhere(model, offload) as (there, device, beside):
        found = path(there, device)
        parts = [part for part in there.pipe.components.values() if isinstance(part, torch.nn.Module)]
        assert {weight.device.type for part in parts for weight in part.parameters()} == {
            "cpu" if offload == "model" else "meta"
        }
    assert len(found) == len(expected)
    for theirs, ours in zip(found, expected, strict=True):
        torch.testing.assert_close(
            theirs.double(), ours.double(), rtol=1e-5, atol=1 if ours.dtype == torch.uint8 else 1e-5
        )
    assert beside() == set()
