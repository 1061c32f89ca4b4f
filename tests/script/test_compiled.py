"""Networks that torch compiled: inside of the block they run as they are, and afterwards compiled again."""

import warnings

import numpy as np
import pytest
import torch
from builders.clip_pipelines import wan

import seediff
from seediff.attention.networks import without_compilation
from seediff.errors import Notice

compiled_graphs = []
"""One entry for each run of a graph that torch compiled."""


def counting(graph, _inputs):
    """A backend of torch.compile that runs what was traced, and counts."""

    def run(*args):
        compiled_graphs.append(1)
        return graph.forward(*args)

    return run


def whole(pipe):
    pipe.unet = torch.compile(pipe.unet, backend=counting)


def in_place(pipe):
    pipe.unet.compile(backend=counting)


def repeated_blocks(pipe):
    pipe.unet.compile_repeated_blocks(backend=counting)


def forward(pipe):
    pipe.unet.forward = torch.compile(pipe.unet.forward, backend=counting)


def one_block(pipe):
    pipe.unet.mid_block = torch.compile(pipe.unet.mid_block, backend=counting)


WAYS = [whole, in_place, repeated_blocks, forward, one_block]


def draw(pipe, **how):
    sizes, noise = {"height": 64, "width": 64, "num_inference_steps": 2}, torch.Generator().manual_seed(1)
    return pipe("a dog", **sizes, **how, generator=noise, output_type="np").images[0]


def captured(pipe, before, inside):
    """(picture, map of "dog", whether a notice says that the network is not compiled). before, inside: compile the
    network before or inside of the block."""
    before(pipe)
    compiled_graphs.clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with seediff.capture(pipe) as seen:
            inside(pipe)
            picture = draw(pipe)
    assert not compiled_graphs
    notices = [str(one.message) for one in said if issubclass(one.category, Notice)]
    return picture, np.asarray(seen.heatmap("dog")), any("runs without compilation" in one for one in notices)


def as_it_is(_pipe):
    pass


@pytest.mark.parametrize("way", WAYS)
def test_a_compiled_network_is_captured_as_it_is_without_compilation(sd1_pipe, way):
    picture, heat, said = captured(sd1_pipe, as_it_is, as_it_is)
    assert not said
    for places in ((way, as_it_is), (as_it_is, way)):
        own, block = sd1_pipe.unet, sd1_pipe.unet.mid_block
        again, heat_again, said = captured(sd1_pipe, *places)
        assert said
        assert np.array_equal(again, picture)
        assert np.array_equal(heat_again, heat)
        sd1_pipe.unet, own.mid_block = own, block


@pytest.fixture
def small(loaded):
    """A pipeline whose network torch traces in a fifth of a UNet's time."""
    return loaded("pixart").pipe


def test_it_is_compiled_before_and_after_the_block(small):
    small.transformer.compile(backend=counting)
    plain = draw(small)
    _picture, _heat, said = captured(small, as_it_is, as_it_is)
    assert said
    assert np.array_equal(draw(small), plain)
    assert compiled_graphs


@pytest.mark.parametrize("way", ["in place", "wrapped", "loop", "loop inside"])
def test_a_compiled_network_alone_or_in_a_compiled_loop(small, way):
    network = call = small.transformer
    given: list = []
    with network.register_forward_pre_hook(lambda *one: given.append(one[1:]), with_kwargs=True):
        draw(small, guidance_scale=1.0)
    args, kwargs = given[0]

    def look(network):
        with torch.no_grad(), seediff.capture(network, prompt="a dog", tokenizer=small.tokenizer) as seen:
            call(*args, **kwargs)
        return np.asarray(seen.heatmap("dog"))

    plain = look(network)
    if way == "wrapped":
        network = call = torch.compile(network, backend=counting)
    elif way == "in place":
        network.compile(backend=counting)
    else:
        call = torch.compile(lambda *args, **kwargs: network(*args, **kwargs)[0] * 2, backend=counting)
        if way == "loop":
            call(*args, **kwargs)
    compiled_graphs.clear()
    with pytest.warns(Notice, match="runs without compilation"):
        assert np.array_equal(look(network), plain)
    assert not compiled_graphs
    call(*args, **kwargs)
    assert compiled_graphs


def test_the_second_of_two_networks():
    pipe = wan(experts=2)
    pipe.transformer_2 = torch.compile(pipe.transformer_2, backend=counting)
    with pytest.warns(Notice, match="runs without compilation"), seediff.capture(pipe) as seen:
        pipe("a dog", height=32, width=32, num_frames=5, num_inference_steps=4, output_type="latent")
    assert seen.heatmap("dog") is not None


class Doubling(torch.nn.Module):
    def forward(self, data):
        return data * 2


def test_captures_that_overlap_give_the_stance_back():
    """Whichever block ends first, nothing is compiled until both have ended."""
    network = Doubling()
    network.compile(backend=counting)
    data = torch.ones(1, 2)
    first, second = without_compilation([network]), without_compilation([network])
    with pytest.warns(Notice, match="runs without compilation"):
        first.__enter__()
    with pytest.warns(Notice, match="runs without compilation"):
        second.__enter__()
    for block, runs in ((first, 0), (second, 1)):
        block.__exit__(None, None, None)
        compiled_graphs.clear()
        network(data)
        assert len(compiled_graphs) == runs
