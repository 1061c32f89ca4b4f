"""Output vectors of chosen layers, beside the maps: the mean over steps of what the modules gave out for the picture."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from builders.families import assert_same_maps, generate
from builders.reference_attentions.flux import save_flux
from builders.reference_attentions.qwen_image import save_qwen_image
from builders.reference_attentions.sd3 import save_sd3
from builders.reference_attentions.xl import save_xl
from builders.reference_attentions.z_image import save_z_image

from seediff.attention import generate as generating
from seediff.attention.capture import capture_attention
from seediff.config.constants import CaptureConfig
from seediff.errors import UserError
from seediff.models.registry import load_model

LAYERS = {  # family → layer, which rows of which half of its output are the picture's with the prompt
    save_xl: ("down_blocks.1.attentions.0.transformer_blocks.0.attn2", slice(0, 256), slice(2, 4)),
    save_sd3: ("transformer_blocks.1.attn", slice(0, 256), slice(2, 4)),
    save_flux: ("single_transformer_blocks.1.attn", slice(512, 768), slice(0, 2)),
    save_z_image: ("layers.1.attention", slice(0, 256), slice(0, 2)),
    save_qwen_image: ("transformer_blocks.0.attn", slice(0, 256), slice(0, 2)),
}


@pytest.mark.parametrize("save", LAYERS, ids=lambda save: save.__name__)
def test_outputs_are_the_mean_over_steps(save, tmp_path, monkeypatch):
    model = load_model(str(save(tmp_path / "model")), device="cpu")
    name, rows, half = LAYERS[save]
    seen, taken = [], {}
    original = generating.capture_attention

    def keep(_module, _args, output):
        seen.append((output[0] if isinstance(output, tuple) else output)[half, rows].double())

    @contextmanager
    def with_outputs(*args, **kwargs):
        with original(*args, **kwargs, outputs=(name,)) as taken["recorder"]:
            yield taken["recorder"]

    images, maps = generate(model, steps=3)
    handle = model.network.get_submodule(name).register_forward_hook(keep)
    monkeypatch.setattr(generating, "capture_attention", with_outputs)
    again, same = generate(model, steps=3)
    handle.remove()
    seen = seen[:: 2 if model.family.conditional == "first call" else 1]
    assert len(seen) == 3
    for image in range(2):
        (found,) = taken["recorder"].outputs(image).values()
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), torch.stack(seen).mean(0)[image], atol=1e-5, rtol=1e-5)
        assert np.array_equal(images[image], again[image])
        assert_same_maps(maps[image], same[image], 0)


def test_a_layer_that_is_not_there(tmp_path):
    model = load_model(str(save_xl(tmp_path / "model")), device="cpu")
    with (
        pytest.raises(UserError, match=r"^outputs: the model has no layer 'layers\.3'; its layers are called like 'down_blocks\.1\."),
        capture_attention(model.network, CaptureConfig(), guidance=False, outputs=("layers.3",)),
    ):
        pass
    with capture_attention(model.network, CaptureConfig(), guidance=False):  # nothing is left behind
        pass
