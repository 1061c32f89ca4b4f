"""Networks that torch compiled: captured from inside of compiled code, or as they are; afterwards as before."""

import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from builders.clip_pipelines import wan
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from torch._dynamo.utils import counters

import seediff
from seediff.attention.compiled import force_eager
from seediff.attention.inside_compiled import _called, parameter_of
from seediff.attention.product import TORCHS
from seediff.errors import Notice

compiled_graphs = []
"""One entry for each run of a graph that torch compiled."""


def counting(graph, _inputs):
    """A backend of torch.compile that runs what was traced, and counts."""

    def run(*args):
        compiled_graphs.append(1)
        return graph.forward(*args)

    return run


def whole(pipe, network, **how):
    setattr(pipe, network, torch.compile(getattr(pipe, network), **how))


def in_place(pipe, network, **how):
    getattr(pipe, network).compile(**how)


def blocks(pipe, network, **how):
    if network == "unet":
        pipe.unet.compile_repeated_blocks(**how)
    else:
        for block in getattr(pipe, network).transformer_blocks:
            block.compile(**how)


def forward(pipe, network, **how):
    part = getattr(pipe, network)
    part.forward = torch.compile(part.forward, **how)


def one_block(pipe, network, **how):
    block = getattr(pipe, network).transformer_blocks[0]
    block.compile(**how)


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch.compiler.reset()
    compiled_graphs.clear()
    counters.clear()


@pytest.fixture
def small(loaded):
    """A pipeline whose network torch traces in a fifth of a UNet's time, and that draws quickly."""
    return loaded("flux").pipe


def draw(pipe, **how):
    sizes, noise = {"height": 64, "width": 64, "num_inference_steps": 2}, torch.Generator().manual_seed(1)
    return pipe("a dog", **{"output_type": "np"} | sizes | how, generator=noise).images[0]


def captured(pipe, inside=lambda: None, *, size=64, output_type="np", **how):
    """(picture, maps, notices). inside: called in the block, before the pipeline draws."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with seediff.capture(pipe, **how) as seen:
            inside()
            picture = draw(pipe, height=size, output_type=output_type)
        maps = seen.maps[0]
    return picture, maps, " ".join(str(one.message) for one in said if issubclass(one.category, Notice))


def versions():
    """The number of graphs that torch has compiled."""
    return counters["stats"]["unique_graphs"]


INSIDE = [
    ("flux", "transformer", whole),
    ("flux", "transformer", forward),
    ("sd3", "transformer", blocks),
    ("unet", "unet", blocks),
]


@pytest.mark.parametrize(("name", "network", "way"), INSIDE)
def test_it_is_captured_inside_of_compiled_code(loaded, name, network, way):
    pipe = loaded(name).pipe
    _, as_it_is, said = captured(pipe)
    assert not said
    way(pipe, network, backend=counting, fullgraph=True)
    plain, without = draw(pipe), versions()
    picture, maps, said = captured(pipe)
    assert "torch compiles the network once more, with capture inside" in said
    assert np.array_equal(picture, plain)
    assert_same_maps(maps, as_it_is)
    assert versions() <= 2 * without
    compiled_graphs.clear()
    assert np.array_equal(draw(pipe), plain)
    assert compiled_graphs
    assert versions() <= 2 * without


def test_what_is_captured_and_of_which_size_is_nothing_that_compiled_code_knows(small):
    in_place(small, "transformer", backend=counting, fullgraph=True)
    plain = draw(small)
    for size in (64, 80):  # from the second one on, sizes are variables
        captured(small, size=size)
    known = versions()
    for how in ({"steps": 2, "normalize": False}, {"apart": "step"}, {"keep": "segments"}):
        assert not captured(small, **how)[2]
    for size in range(32, 144, 16):
        captured(small, size=size)
    assert versions() == known
    assert np.array_equal(draw(small), plain)
    assert versions() == known


def test_it_has_the_maps_of_code_that_is_not_compiled(loaded):
    """Rows of the prompts and of the negative prompts, and maps of each layer."""
    small, settings = loaded("sd3").pipe, {"negative": True, "normalize": False, "apart": "layer"}

    def look():
        with seediff.capture(small, **settings) as seen:
            small(["a dog", "a cat"], negative_prompt=["a bus"] * 2, height=64, width=64, num_inference_steps=2)
        return seen.maps, [seen.heatmap("bus", of="negative", image=image) for image in range(2)], seen.maps_apart(0)

    torch.manual_seed(0)
    maps, heats, apart = look()
    small.transformer.compile(backend=counting)
    torch.manual_seed(0)
    again, heats_again, apart_again = look()
    assert compiled_graphs
    for one, other in zip([*maps, *apart.values()], [*again, *apart_again.values()], strict=True):
        assert_same_maps(one, other)
    assert np.allclose(heats, heats_again, atol=1e-5)


def test_everything_is_put_back(small):
    network, function = small.transformer, torch.nn.functional.scaled_dot_product_attention
    network.compile(backend=counting)
    settings, call = torch._dynamo.config.get_config_copy(), network._compiled_call_impl

    def state():
        hooks = [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in network.modules()]
        return hooks, [name for name, module in network.named_modules() if "forward" in vars(module)]

    before = state()
    with pytest.raises(ZeroDivisionError), seediff.capture(small):
        small("a dog", num_inference_steps=2, height=64, width=64, callback_on_step_end=lambda *_: 1 / 0)
    assert state() == before
    assert torch.nn.functional.scaled_dot_product_attention is function
    assert torch._dynamo.config.get_config_copy() == settings
    assert network._compiled_call_impl is call
    assert not _called.layers


def without_wrapper(pipe, network):
    pipe.transformer = network


def with_another_wrapper(pipe, network):
    pipe.transformer = torch.compile(network, backend=counting)


def compiled_again(pipe, network):
    network.compile(backend=counting)


@pytest.mark.parametrize("change", [without_wrapper, with_another_wrapper, compiled_again])
def test_code_that_is_replaced_while_the_pipeline_draws(small, change):
    """Its calls are not seen, so there are no maps; and what was put there stays."""
    network = small.transformer
    (in_place if change is compiled_again else whole)(small, "transformer", backend=counting)
    before = small.transformer, network._compiled_call_impl

    def callback(pipe, step, _level, tensors):
        if step == 0:
            change(pipe, network)
        return tensors

    with pytest.warns(Notice), seediff.capture(small) as seen:
        small("a dog", num_inference_steps=3, height=64, width=64, callback_on_step_end=callback)
    after = small.transformer, network._compiled_call_impl
    assert after[0] is not before[0] or after[1] is not before[1]
    with user_error("the network: ran where capture does not see it"):
        seen.heatmap("dog")


@pytest.mark.parametrize("how", ["gradients", "autocast"])
def test_what_the_operator_would_not_do_runs_as_it_is(small, how):
    """Also where only the pipeline's own code says so."""
    kind = type(small)

    class Own(kind):
        def __call__(self, *args, **kwargs):
            if how == "gradients":
                return kind.__call__.__wrapped__(self, *args, **kwargs)
            with torch.autocast("cpu", torch.bfloat16):
                return kind.__call__(self, *args, **kwargs)

    pipe = Own(**small.components)
    pipe.transformer.requires_grad_(how == "gradients")
    _, as_it_is, _ = captured(pipe, output_type="latent")
    in_place(pipe, "transformer", backend=counting)
    _, maps, said = captured(pipe, output_type="latent")
    assert "runs without compilation" in said
    assert_same_maps(maps, as_it_is)


def test_two_threads_that_draw_at_once(loaded):
    pipes = [loaded("flux").pipe for _ in range(2)]
    expected = captured(pipes[0])[1]
    for pipe in pipes:
        in_place(pipe, "transformer", backend=counting)

    def look(pipe):
        with seediff.capture(pipe) as seen:
            for _ in range(3):
                draw(pipe)
        return seen.maps

    with ThreadPoolExecutor(2) as pool:
        drawn = [*pool.map(look, pipes)]
    for maps in [*drawn[0], *drawn[1]]:
        assert_same_maps(maps, expected)
    assert torch.nn.functional.scaled_dot_product_attention is TORCHS


@pytest.mark.skipif(shutil.which("gcc") is None, reason="inductor needs a C++ compiler")
def test_code_of_inductor(small):
    network = type(small.transformer)
    small.transformer = network.from_config({**small.transformer.config, "num_layers": 1, "num_single_layers": 0})
    _, as_it_is, _ = captured(small)
    blocks(small, "transformer", fullgraph=True)
    plain = draw(small)
    picture, maps, _ = captured(small)
    assert np.allclose(picture, plain, atol=1e-5)
    assert_same_maps(maps, as_it_is)


# What runs as it is


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize(
    "why", ["one block", "in the class", "hook", "offloading", "backend", "function", "forward of its own"]
)
def test_others_run_as_they_are(small, why, is_late, monkeypatch):
    network, layer = small.transformer, small.transformer.transformer_blocks[0].attn
    if why == "hook":
        network.register_forward_pre_hook(lambda *_: None)
    elif why == "offloading":
        accelerate = pytest.importorskip("accelerate")
        accelerate.cpu_offload(network, torch.device("cpu"))
    elif why == "backend":
        layer.processor._attention_backend = "_native_math"
    elif why == "function":
        own = torch.nn.functional.scaled_dot_product_attention
        monkeypatch.setattr(torch.nn.functional, own.__name__, lambda *args, **kwargs: own(*args, **kwargs))
    elif why == "forward of its own":
        layer.forward = lambda *args, **kwargs: type(layer).forward(layer, *args, **kwargs)
    picture, as_it_is, _ = captured(small)
    compile_it = partial(one_block if why == "one block" else in_place, small, "transformer", backend=counting)
    if why == "in the class":
        own = torch.compile(type(network).forward, backend=counting)
        compile_it = partial(monkeypatch.setattr, type(network), "forward", own)
    if not is_late:
        compile_it()
    again, maps, said = captured(small, compile_it if is_late else lambda: None)
    assert "runs without compilation" in said
    assert not compiled_graphs
    assert np.array_equal(again, picture)
    assert_same_maps(maps, as_it_is)


def replaced(change):
    """A backend of torch.compile that changes nodes of capture's operator."""

    def compile_changed(graph, _inputs):
        for node in [node for node in graph.graph.nodes if "seediff" in str(node.target)]:
            change(graph.graph, node)
        graph.recompile()
        return graph.forward

    return compile_changed


def refuse(_graph, _node):
    raise KeyError("no such operator")


def leave_out(graph, node):
    query, key, value, mask, _parameter, _text, dropout, is_causal, scale, _ = node.args
    product = torch.nn.functional.scaled_dot_product_attention
    with graph.inserting_before(node):
        plain = graph.call_function(product, (query, key, value, mask, dropout, is_causal), {"scale": scale})
    node.replace_all_uses_with(plain)
    graph.erase_node(node)


def test_a_compiler_that_fails_with_capture_inside(small):
    _, as_it_is, _ = captured(small)
    small.transformer.compile(backend=replaced(refuse))
    draw(small)
    _, maps, said = captured(small)
    assert "runs without compilation while it is captured (torch could not compile it with capture inside" in said
    assert_same_maps(maps, as_it_is)


def test_a_script_that_forbids_to_compile_once_more(small):
    small.transformer.compile(backend=counting)
    draw(small)
    with torch.compiler.set_stance("fail_on_recompile"):
        said = captured(small)[2]
    assert "torch could not compile it with capture inside" in said


def test_what_the_operator_does_not_see_is_refused(small):
    small.transformer.compile(backend=replaced(leave_out))
    with pytest.warns(Notice), seediff.capture(small) as seen:
        draw(small)
    with user_error("transformer_blocks.0.attn and 3 more layers: was not seen in compiled code in each step; draw"):
        seen.heatmap("dog")


def test_a_prompt_that_the_network_is_not_given(loaded):
    """It is drawn, as without compilation."""
    pixart = loaded("pixart").pipe
    states = torch.zeros(9, 32)
    in_place(pixart, "transformer", backend=counting)
    with pytest.warns(Notice), seediff.capture(pixart, prompt="a bus", states=states) as seen:
        draw(pixart)
    assert compiled_graphs
    with user_error("states: no call of the network was given them"):
        seen.heatmap("bus")


@pytest.mark.parametrize("way", [in_place, blocks])
def test_a_later_graph_that_the_compiler_fails_on(small, way):
    """Of the whole network, earlier layers would be seen twice; other blocks do not run once more."""
    _, as_it_is, _ = captured(small)
    graphs: list = []

    def compile_it(graph, _inputs):
        if any("seediff" in str(node.target) for node in graph.graph.nodes):
            graphs.append(graph)
        if len(graphs) == 2:
            raise KeyError("no such operator")
        return graph.forward

    small.transformer.transformer_blocks[1].register_forward_pre_hook(lambda *_: torch._dynamo.graph_break())
    way(small, "transformer", backend=compile_it)
    if way is blocks:
        for block in small.transformer.single_transformer_blocks:
            block.compile(backend=compile_it)
    draw(small)
    with pytest.warns(Notice, match="torch could not compile it"), seediff.capture(small) as seen:
        draw(small)
    if way is blocks:
        assert_same_maps(seen.maps[0], as_it_is)
        return
    with user_error("the network: was compiled in several graphs, of which one failed with capture inside"):
        seen.heatmap("dog")


def test_layers_that_share_a_parameter_are_refused(small):
    """Compiled code does not say which of them runs."""
    first, second = small.transformer.transformer_blocks
    second.attn.norm_q = first.attn.norm_q
    second.attn.to_q = first.attn.to_q
    small.transformer.compile(backend=counting)
    with pytest.warns(Notice), seediff.capture(small) as seen:
        draw(small)
    with user_error("transformer_blocks.0.attn and 1 more layers: was not seen"):
        seen.heatmap("dog")
    with torch.compiler.set_stance("force_eager"), pytest.warns(Notice), seediff.capture(small) as seen:
        draw(small)
    assert seen.heatmap("dog") is not None


def test_weights_that_move(small):
    """Layers are told by where their parameters are now."""
    small.transformer.compile(backend=counting)
    _, maps, _ = captured(small)
    first, second = (parameter_of(block.attn) for block in small.transformer.transformer_blocks)
    values = first.data.clone(), second.data.clone()
    first.data, second.data = second.data.copy_(values[0]), first.data.copy_(values[1])
    _, again, _ = captured(small)
    assert_same_maps(again, maps)


@pytest.mark.parametrize("way", ["in place", "wrapped", "loop", "loop inside"])
def test_a_compiled_network_alone_or_in_a_compiled_loop(loaded, way):
    small = loaded("pixart").pipe
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


@pytest.mark.parametrize("second", [False, True])
def test_two_networks_that_take_turns(second):
    """Both are captured inside of compiled code, or both as they are."""
    pipe = wan(experts=2)
    pipe.transformer_2 = torch.compile(pipe.transformer_2, backend=counting)
    if second:
        pipe.transformer.compile(backend=counting)
    said = "torch compiles the network once more" if second else "runs without compilation"
    with pytest.warns(Notice, match=said), seediff.capture(pipe) as seen:
        pipe("a dog", height=32, width=32, num_frames=5, num_inference_steps=4, output_type="latent")
    assert seen.heatmap("dog") is not None
    assert bool(compiled_graphs) == second


class Doubling(torch.nn.Module):
    def forward(self, data):
        return data * 2


def test_captures_that_overlap_give_the_stance_back():
    """Whichever block ends first, nothing is compiled until both have ended."""
    network = Doubling()
    network.compile(backend=counting)
    data = torch.ones(1, 2)
    first, second = force_eager(), force_eager()
    first.__enter__()
    second.__enter__()
    for block, runs in ((first, 0), (second, 1)):
        block.__exit__(None, None, None)
        compiled_graphs.clear()
        network(data)
        assert len(compiled_graphs) == runs
