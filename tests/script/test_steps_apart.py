import numpy as np
import pytest
import torch
from builders.refusals import user_error

import seediff

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
