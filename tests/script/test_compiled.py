"""Networks that torch compiled run as they are while they are captured, and afterwards as before."""

import numpy as np
import pytest
import torch
from builders.same_maps import assert_same_maps

import seediff
from seediff.errors import Notice

pytestmark = pytest.mark.slow


def draw(pipe):
    noise = torch.Generator().manual_seed(1)
    how = {"height": 64, "width": 64, "num_inference_steps": 2, "output_type": "np"}
    return pipe("a dog", generator=noise, **how).images[0]


def whole(pipe, **how):
    pipe.transformer = torch.compile(pipe.transformer, **how)


def in_place(pipe, **how):
    pipe.transformer.compile(**how)


def blocks(pipe, **how):
    for block in pipe.transformer.transformer_blocks:
        block.compile(**how)


@pytest.mark.parametrize("way", [in_place, *(pytest.param(way, marks=pytest.mark.slow) for way in (whole, blocks))])
def test_a_compiled_network_runs_as_it_is(loaded, way):
    pipe, calls = loaded("flux").pipe, []
    plain = draw(pipe)
    with seediff.capture(pipe) as expected:
        draw(pipe)

    def counting(graph, _inputs):
        return lambda *args: calls.append(1) or graph.forward(*args)

    torch.compiler.reset()
    way(pipe, backend=counting)
    draw(pipe)
    before = len(calls)
    assert before
    with pytest.warns(Notice, match="runs without compilation"), seediff.capture(pipe) as seen:
        assert np.array_equal(draw(pipe), plain)
    assert len(calls) == before
    assert_same_maps(seen.maps[0], expected.maps[0], atol=0)
    draw(pipe)
    assert len(calls) > before
