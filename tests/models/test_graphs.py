import gc
import inspect
import warnings
import weakref
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from builders.families import SPECS, generate, same_images
from builders.plans import plan_of
from builders.reference_attention import BOOKS
from builders.refusals import user_error
from builders.same_maps import assert_same_maps
from builders.tape import TapeMaker, graphed
from builders.twins import small_unet
from torch.utils._pytree import tree_map_only

import seediff
from seediff.attention.capture import attach_recorder, capture_attention, hook_calls
from seediff.attention.features import capture_features
from seediff.attention.recorder import AttentionRecorder
from seediff.config.method_constants import CaptureConfig
from seediff.errors import Notice
from seediff.models import graphs
from seediff.models.graph_states import examine
from seediff.models.graphs import GraphedNetwork, GraphMaker
from seediff.models.registry import load_model
from seediff.workers import GPU_ALONE

TOLERANCE = 1e-6
"""On some CPUs, rounding depends on where numbers are in memory."""


@torch.no_grad()
def one_capture(unet, seed, *, plan=None, steps=3, total=None, size=(8, 8), text_states=None, columns=7):
    """The results of calls with guidance, as they were then, and the maps."""
    noise, text = (torch.Generator().manual_seed(number) for number in (seed, 99))
    states = torch.randn(2, columns, unet.config.cross_attention_dim, generator=text)
    plan = plan or plan_of(unet)
    with capture_attention(unet, plan, guidance=True, total_steps=total or steps, text_states=text_states) as recorder:
        results = []
        for step in range(steps):
            latents = torch.randn(2, 4, *size, generator=noise)
            level = torch.full((2,), 900 - 100 * step)
            results.append(unet(latents, level, encoder_hidden_states=states, return_dict=False)[0])
    return results, *recorder.maps([{"dog": (2,)}], ["a dog"])


def assert_same(found, expected):
    """found, expected: from `one_capture`."""
    for (results, maps), (own_results, own_maps) in zip(found, expected, strict=True):
        torch.testing.assert_close(results, own_results, atol=TOLERANCE, rtol=0)
        assert maps.latent_size == own_maps.latent_size
        assert_same_maps(maps, own_maps, TOLERANCE)


@pytest.fixture
def unet():
    return small_unet()


@pytest.mark.parametrize(("steps", "mean"), [("all", "geometric"), ("second-half", "arithmetic")])
def test_every_image_has_the_maps_of_calls_that_run_eagerly(unet, steps, mean):
    plan = plan_of(unet, CaptureConfig(steps=steps, mean=mean))
    expected = [one_capture(unet, seed, plan=plan, steps=10) for seed in (1, 2)]
    with graphed(unet) as own:
        found = [one_capture(unet, seed, plan=plan, steps=10) for seed in (1, 2)]
    assert_same(found, expected)  # also those of the first, after the second was drawn
    kinds = 1 if steps == "all" else 2
    assert (own.graphs_made, own.replayed_calls) == (kinds, 20 - kinds)


def test_keys_that_are_asked_for_are_those_of_each_capture(unet):
    plan = plan_of(unet, CaptureConfig(prompt="a {class}"))
    asked = [torch.randn(1, 7, unet.config.cross_attention_dim) for _ in range(3)]
    expected = [one_capture(unet, 1, plan=plan, total=20, text_states=states) for states in asked]
    with graphed(unet) as own:
        assert_same([one_capture(unet, 1, plan=plan, total=20, text_states=states) for states in asked], expected)
    assert own.graphs_made == 1


def test_shapes_texts_and_plans_are_kinds_of_their_own(unet):
    """A plan that is made anew and equal is none; landscape and portrait have as many positions."""
    every, some = plan_of(unet), plan_of(unet, reads={"cross": (2,)})
    kinds = [
        {"plan": every}, {"plan": every, "size": (16, 8)}, {"plan": every, "size": (8, 16)}, {"plan": some},
        {"plan": plan_of(unet)}, {"plan": every, "columns": 9}, {"plan": every, "size": (8, 16)},
    ]  # fmt: skip
    expected = [one_capture(unet, seed, **kind) for seed, kind in enumerate(kinds)]
    with graphed(unet, MANY_CALLS=3) as own:
        assert_same([one_capture(unet, seed, **kind) for seed, kind in enumerate(kinds)], expected)
    assert own.graphs_made == 5


def test_an_image_on_its_side_is_another_kind_for_networks_that_see_only_positions(loaded):
    model = loaded("flux")
    with graphed(model.network, MANY_CALLS=1) as own:
        found = [generate(model, SPECS[:1], steps=2, size=size)[1][0] for size in ("128x64", "64x128", "128x64")]
    assert [maps.latent_size for maps in found] == [(16, 32), (32, 16), (16, 32)]
    assert own.graphs_made == 2


def test_in_short_captures_a_shape_is_replayed_when_it_comes_again(unet):
    """Photographs of many shapes."""
    with graphed(unet) as own:
        for seed, side in enumerate((8, 12, 16, 20)):
            one_capture(unet, seed, steps=3, size=(side, 8))
        assert own.graphs_made == 0
        found = one_capture(unet, 7, steps=3, size=(12, 8))
        assert (own.graphs_made, own.replayed_calls) == (1, 2)
    assert_same([found], [one_capture(unet, 7, steps=3, size=(12, 8))])


def test_kinds_beyond_the_most_run_eagerly(unet):
    with graphed(unet, MANY_CALLS=3, MOST_GRAPHS=2) as own:
        for side in (8, 12, 16, 16):
            one_capture(unet, 1, steps=3, size=(side, 8))
    assert own.graphs_made == 2


def test_memory_of_shapes_without_graphs_is_freed(unet):
    with graphed(unet) as own:
        for side in (8, 12, 16, 20):
            one_capture(unet, 1, steps=1, size=(side, 8))
        assert {shape[1] for _, shape, _ in own.store.tensors if shape} == {160, 40}


def runs_eagerly(unet, reason):
    """Two captures, which replay nothing, and which say why once."""
    with graphed(unet) as own, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = [one_capture(unet, seed, total=20) for seed in (1, 2)]
    assert (own.graphs_made, own.replayed_calls) == (0, 0)
    (why,) = (one for one in said if "HostRefused" not in str(one.message))  # the stand-in of a card is a mode
    assert reason in str(why.message)
    return found


def breaking(unet):
    """A hook that waits, in the network's own code."""
    block = unet.mid_block
    own = block.forward
    return mock.patch.object(block, "forward", lambda *args, **how: (own(*args, **how), float(args[0].sum()))[0])


def test_a_failed_graph_is_told_once_and_nothing_counts_twice(unet):
    with breaking(unet):
        expected = [one_capture(unet, seed, total=20) for seed in (1, 2)]
        assert_same(runs_eagerly(unet, "__float__"), expected)


def lora(unet):
    layer = unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q
    layer.scaling = {"default": 2.0}


def moved(unet):
    weight = unet.conv_in.weight
    weight.data = weight.data.clone() * 2


def processed(unet):
    from diffusers.models.attention_processor import AttnProcessor

    unet.mid_block.attentions[0].transformer_blocks[0].attn1.set_processor(AttnProcessor())


def told_to_attend_otherwise(unet):
    unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor._attention_backend = "flash"


@pytest.mark.parametrize("change", [lora, moved, processed, told_to_attend_otherwise])
def test_a_network_that_changed_gets_new_graphs(unet, change):
    with graphed(unet) as own:
        one_capture(unet, 1, total=20)
        change(unet)
        found = one_capture(unet, 2, total=20)
        assert own.graphs_made == 2
    assert_same([found], [one_capture(unet, 2, total=20)])


class Quantised(torch.Tensor):
    """As torchao's: a tensor without memory of its own."""

    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    def __tensor_flatten__(self):
        return ["inner"], None

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        found = func(*tree_map_only(cls, lambda own: own.inner, args), **(kwargs or {}))
        return cls(found) if func is torch.ops.aten.detach.default else found


def test_where_quantised_weights_lie_is_looked_at(unet):
    unet.conv_in.bias = torch.nn.Parameter(Quantised(torch.zeros(8)), requires_grad=False)
    before = examine(unet)
    assert examine(unet) == before
    unet.conv_in.bias.inner = unet.conv_in.bias.inner.clone()
    assert examine(unet) != before


def caching(unet):
    """Its time embedding is multiplied by a tensor that only a cache keeps, for one shape at a time."""
    own, kept = unet.time_embedding.forward, {}

    def forward(sample, *args):
        if sample.shape not in kept:
            kept.clear()
            kept[sample.shape] = torch.full((1,), 1.5)
        return own(sample, *args) * kept[sample.shape]

    return mock.patch.object(unet.time_embedding, "forward", forward)


def test_what_only_a_cache_keeps_stays_as_long_as_the_graph(unet):
    with caching(unet), torch.no_grad():
        expected = [one_capture(unet, seed, total=20) for seed in (1, 2)]
        with graphed(unet) as own:
            first = one_capture(unet, 1, total=20)
            unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 7, unet.config.cross_attention_dim))  # another shape
            assert_same([first, one_capture(unet, 2, total=20)], expected)
        assert own.graphs_made == 1


TRIALS = {
    "faster": (0.5, False, "replayed as CUDA graphs: 0.50 of the time, same", (7, 10)),
    "slower": (0.97, False, "replays take 0.97 of", (3, 3)),
    "other bytes": (0.5, True, "runs without CUDA graphs: a replayed call gave other bytes", (0, 0)),
}
"""What is found → how long replays take, whether they give other bytes, the notice, and how many calls were replayed
after 12 and 15 calls: one makes the maps, one runs both ways, six are timed in turn.
"""


def test_a_trial_keeps_what_is_faster_and_gives_the_same_bytes(unet):
    expected = [one_capture(unet, 1, steps=12), one_capture(unet, 2, total=12)]
    for takes, spoils, said, replayed in TRIALS.values():
        maker = TapeMaker(takes)
        maker.spoils = spoils
        with graphed(unet, maker, trial=True) as own:
            with pytest.warns(Notice, match=said):
                found = [one_capture(unet, 1, steps=12)]
            before = own.replayed_calls
            found.append(one_capture(unet, 2, total=12))
        assert_same(found, expected)
        assert (own.graphs_made, before, own.replayed_calls) == (1, *replayed)
        assert (own.eager_because == "") == (said == TRIALS["faster"][2])


def test_a_trial_is_silent_about_networks_that_cannot_be_replayed(unet):
    hooked(unet)
    with graphed(unet, trial=True) as own, warnings.catch_warnings():
        warnings.simplefilter("error")
        one_capture(unet, 1, steps=12)
    assert own.graphs_made == 0


def test_no_graph_is_made_where_memory_is_short(unet):
    maker = TapeMaker()
    maker.short_of_memory = True
    with graphed(unet, maker) as own, pytest.warns(Notice, match="too little memory is free"):
        one_capture(unet, 1, steps=12)
    assert own.graphs_made == 0


def hooked(unet):
    unet.mid_block.register_forward_hook(lambda *_: None)
    return "a UNetMidBlock2DCrossAttn has a hook that is not capture's"


def offloaded(unet):
    unet.mid_block._hf_hook = None
    return "a UNetMidBlock2DCrossAttn is moved"


def cached(unet):
    unet.mid_block._diffusers_hook = SimpleNamespace(hooks={"cache": None}, get_hook=lambda name: None)
    return "a UNetMidBlock2DCrossAttn has a cache"


@pytest.mark.parametrize("disturb", [hooked, offloaded, cached])
def test_what_cannot_be_replayed_runs_eagerly_and_is_told_once(unet, disturb):
    runs_eagerly(unet, disturb(unet))


def test_features_and_calls_without_capture_run_eagerly(unet):
    with graphed(unet) as own, torch.no_grad():
        states = torch.zeros(1, 7, unet.config.cross_attention_dim)
        for _ in range(3):
            with capture_features(unet, (16, 16)) as features:
                unet(torch.zeros(1, 4, 16, 16), torch.tensor(5), encoder_hidden_states=states)
            assert len(features) == 1
    assert own.graphs_made == 0


def test_gradients_and_arguments_of_unknown_types_run_eagerly(unet):
    with graphed(unet) as own:
        with capture_attention(unet, plan_of(unet), guidance=False, total_steps=20):
            for _ in range(3):
                states = torch.zeros(1, 7, unet.config.cross_attention_dim)
                unet(torch.zeros(1, 4, 16, 16), torch.tensor(5), states, cross_attention_kwargs=None)
        told = pytest.warns(Notice, match="a call is given a int64, which a replay would not read again")
        with torch.no_grad(), capture_attention(unet, plan_of(unet), guidance=False, total_steps=20), told as said:
            for _ in range(3):
                unet(torch.zeros(1, 4, 16, 16), np.int64(5), states)
        assert len(said) == 1
    assert own.graphs_made == 0


def replay_by_tape(monkeypatch):
    """What scripts ask to be replayed."""
    monkeypatch.setattr("seediff.script.capturing.check_graphs", lambda *_: None)
    monkeypatch.setattr("seediff.script.capturing.GraphMaker", lambda _device: TapeMaker())


def test_a_script_may_ask_for_graphs(sd1_model, monkeypatch):
    """All calls but the block's first are replayed: eight of two pictures in three steps, by this scheduler."""
    with user_error("needs an NVIDIA GPU"), seediff.capture(sd1_model.pipe, graphs=True):
        pass

    def drawn(**how):
        with seediff.capture(sd1_model.pipe, **how) as seen:
            for seed in (3, 4):
                noise = torch.Generator().manual_seed(seed)
                sd1_model.pipe("a photo of a dog", num_inference_steps=3, height=64, width=64, generator=noise)
            own = graphs.find_graphs(sd1_model.network)
        return [seen.heatmap("dog", image=image).values for image in (0, 1)], own

    expected, none = drawn()
    replay_by_tape(monkeypatch)
    found, own = drawn(graphs=True)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert none is None
    assert (own.graphs_made, own.replayed_calls) == (1, 7)
    assert graphs.find_graphs(sd1_model.network) is None


def test_a_script_may_not_change_its_network_while_it_draws(sd1_model, monkeypatch):
    """Replays do not see it: the picture is of what was there before, and no maps are given out."""
    replay_by_tape(monkeypatch)
    block = sd1_model.network.mid_block.attentions[0]

    def change(_pipe, step, _level, tensors):
        block.scale = step
        return tensors

    how = {"num_inference_steps": 3, "height": 64, "width": 64}
    with seediff.capture(sd1_model.pipe, graphs=True) as seen:
        sd1_model.pipe("a dog", **how)
        sd1_model.pipe("a dog", **how, callback_on_step_end=change)
        sd1_model.pipe("a dog", **how)
    del block.scale
    assert [seen.heatmap("dog", image=image).shape for image in (0, 2)] == [(64, 64)] * 2
    with user_error("^the network: was changed while it drew, which replays do not read; change it between"):
        seen.heatmap("dog", image=1)


def test_a_call_that_is_passed_over_adds_nothing_when_it_is_replayed(unet):
    """As calls of a script without the prompt, which may have texts of another length."""
    plan, states = plan_of(unet), torch.ones(1, 7, unet.config.cross_attention_dim)

    @torch.no_grad()
    def drawn():
        recorder = AttentionRecorder(plan, guidance=False, graphs=graphs.find_graphs(unet))

        def begin(network, args, kwargs):
            if args[0].shape[-1] == 16:
                recorder.begin_call(network, args, kwargs)
            else:
                recorder.end_call()

        with hook_calls(unet, begin), attach_recorder(unet, recorder):
            for _ in range(4):
                unet(torch.ones(1, 4, 16, 16), np.int64(5), states)  # which runs eagerly
                unet(torch.ones(1, 4, 8, 8), torch.tensor(5), states)
        return recorder.maps([{}], ["a dog"])[0]

    expected = drawn()
    with graphed(unet) as own:
        assert_same_maps(drawn(), expected, TOLERANCE)
    assert (own.graphs_made, own.replayed_calls) == (1, 3)


def test_the_network_gets_its_own_forward_back(unet):
    own, arguments = unet.forward, inspect.signature(unet.forward)
    with graphed(unet):
        assert inspect.signature(unet.forward) == arguments
        unet.forward = offload = lambda *args, **how: own(*args, **how)
    assert vars(unet).pop("forward") is offload
    GraphedNetwork(unet, TapeMaker()).restore()
    assert "forward" not in vars(unet)
    unet.forward = replaced = lambda *args, **how: own(*args, **how)
    with graphed(unet) as graphs_of, pytest.warns(Notice, match="its forward was replaced"):
        one_capture(unet, 1)
    assert graphs_of.graphs_made == 0
    assert vars(unet).pop("forward") is replaced


@pytest.mark.parametrize("name", sorted({*BOOKS} - {"flux2_klein", "lcm", "xl"}))  # of other families' networks
def test_every_network(name, loaded):
    model = loaded(name)
    images, (maps,) = generate(model, SPECS[:1], steps=3)
    with graphed(model.network, MANY_CALLS=1) as own:
        found, (own_maps,) = generate(model, SPECS[:1], steps=3)
    assert same_images(found, images)
    assert_same_maps(own_maps, maps, 1e-5)
    assert (own.replayed_calls > 0) == model.family.can_graph


class FailingGraph:
    """torch.cuda.graph: a failed graph ends with an error that does not say why."""

    def __init__(self, graph, pool, stream, capture_error_mode):
        assert (GPU_ALONE.locked(), capture_error_mode) == (True, "thread_local")

    def __enter__(self):
        pass

    def __exit__(self, *error):
        if error[0]:
            raise RuntimeError("operation failed due to a previous error during capture")


def test_a_failed_graph_says_the_first_reason_and_keeps_no_tensor_of_the_call():
    """Otherwise a call that ran out of memory while its graph was made runs out of it again eagerly."""
    names = ("Stream", "stream", "device", "current_stream", "current_device", "graph_pool_handle", "CUDAGraph")
    alive = []

    def waits():
        values = torch.ones(4)
        alive.append(weakref.ref(values))
        raise ValueError("a wait of the host")

    gc.collect()
    gc.disable()
    try:
        with mock.patch.multiple(torch.cuda, graph=FailingGraph, **{name: mock.MagicMock() for name in names}):
            maker = GraphMaker(torch.device("cuda", 1))
            with pytest.raises(RuntimeError, match="ValueError: a wait of the host"):
                maker.make(waits)
            assert (alive[0](), GPU_ALONE.locked()) == (None, False)
            assert maker.make(lambda: "result")[0] == "result"
    finally:
        gc.enable()


def test_graphs_need_a_gpu():
    with user_error("must be one of auto, on, off"):
        seediff.generate(classes=["dog"], out="never", graphs="onn")  # type: ignore[arg-type]
    assert graphs.find_graphs(load_model("mini", device="cpu", graphs="auto").network) is None
