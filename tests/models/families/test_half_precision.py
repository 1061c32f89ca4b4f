import numpy as np
import pytest
import torch
from builders.families import SPECS, generate
from builders.reference_attention import BOOKS

from seediff.attention import recorder
from seediff.models.info import model_info
from seediff.models.registry import load_model


@pytest.mark.parametrize("family", BOOKS)
def test_maps_are_float64s_of_the_models_own_queries_and_keys(family, twin, monkeypatch):
    info = model_info(str(twin(family)))
    assert info is not None
    dtype = info.family.half
    model = load_model(str(twin(family)), device="cpu", dtype=dtype)
    added = recorder.add_fast
    checked = 0

    def add(parts, query, key, scale, bias=None, *, normalize, **more):
        nonlocal checked
        assert query.dtype == key.dtype == getattr(torch, dtype)
        before = [part.total.double() for part in parts]
        added(parts, query, key, scale, bias, normalize=normalize, **more)
        scores = query.double() @ key.double().transpose(2, 3) * scale
        scores = scores if bias is None else scores + bias.double()
        for part, old in zip(parts, before, strict=True):
            mean = scores.softmax(-1).mean(1)[..., part.columns]
            expected = old + mean / mean.amax(1 if part.per_column else (1, 2), keepdim=True).clamp_min(
                torch.finfo(torch.float32).tiny
            )
            torch.testing.assert_close(part.total.double(), expected, atol=1e-5, rtol=1e-5)
            checked += 1

    monkeypatch.setattr(recorder, "add_fast", add)
    images, maps = generate(model, SPECS[:1])
    assert checked >= 2 * len(maps[0].cross_attention)
    monkeypatch.undo()
    call = model.family.call(model.pipe, drawing(model))
    assert np.array_equal(images[0], (model.pipe(**call).images[0] * 255).round().astype(np.uint8))


def drawing(model):
    from seediff.models.families.family import DrawRequest

    noise = [torch.Generator().manual_seed(SPECS[0].seed)]
    return DrawRequest(
        prompts=[SPECS[0].prompt],
        negative_prompt="",
        height=64,
        width=64,
        steps=2,
        guidance_scale=3.0,
        generators=noise,
    )
