import numpy as np
import pytest
import torch
from builders.refusals import user_error

import seediff
from seediff.errors import Notice

HOW = {"height": 64, "width": 64, "num_inference_steps": 3, "output_type": "np"}


def draw(pipe):
    return pipe("a dog and a cat", generator=torch.Generator().manual_seed(2), **HOW).images


@pytest.mark.parametrize(("apart", "count"), [("step", 4), ("layer", None)])  # PNDM calls the network once more
def test_the_mean_of_parts_is_that_of_all(sd1_model, apart, count):
    pipe = sd1_model.pipe
    plain = draw(pipe)
    with seediff.capture(pipe) as usual:
        draw(pipe)
    with seediff.capture(pipe, apart=apart) as seen:
        assert np.array_equal(draw(pipe), plain)
    parts = seen.maps_apart()
    cross = [maps for maps in parts.values() if maps.cross_attention]
    assert len(parts) == (count or len(seen._plan.layers["self"]) + len(seen._plan.layers["cross"]))
    for kind in ("self_attention", "cross_attention"):
        for grid, expected in getattr(usual.maps[0], kind).items():
            assert torch.allclose(getattr(seen.maps[0], kind)[grid], expected, atol=1e-6)
            there = [getattr(maps, kind)[grid] for maps in parts.values() if grid in getattr(maps, kind)]
            assert torch.allclose(torch.stack(there).mean(0), expected, atol=1e-6)
    heats = seen.heatmaps_apart("dog")
    assert len(heats) == len(cross)
    assert {heat.shape for heat in heats.values()} == {(64, 64)}
    assert not np.array_equal(*[heat.values for heat in heats.values()][:2])


def test_what_is_not_kept_apart(sd1_model):
    pipe = sd1_model.pipe
    with seediff.capture(pipe) as seen:
        draw(pipe)
    with user_error(r"^apart: steps and layers were not kept apart; capture\(pipe, apart='step'\)"):
        seen.heatmaps_apart("dog")
    with user_error("^apart: 'head' must be step or layer"), seediff.capture(pipe, apart="head"):
        pass


def test_many_steps_are_counted_in_memory(sd1_model, monkeypatch):
    """The negative prompt has one map of all steps."""
    pipe = sd1_model.pipe
    with seediff.capture(pipe, keep="ca") as seen:
        pass
    one = seen.expected(64, 64).map_bytes
    monkeypatch.setattr("seediff.script.run_checks.memory_bytes", lambda: int(4.5 * one))
    with seediff.capture(pipe, keep="ca", apart="step", steps=2, negative=True) as seen:
        pipe("a dog", negative_prompt="a bus", **HOW)  # two of four calls, their mean, and the negative prompt's
    assert len(seen.maps_apart()) == 2
    with user_error("^the attention maps of 1 images"), seediff.capture(pipe, keep="ca", apart="step"):
        draw(pipe)
    told = pytest.warns(Notice, match="attention maps of 1 images")  # of a network alone: how many will come is unknown
    with seediff.capture(pipe.unet, keep="ca", apart="step") as seen, told:
        pipe("a dog", **HOW, guidance_scale=1.0)
    with user_error("^the attention maps of 1 images"):
        seen.maps_apart()
