import os
import shutil

import numpy as np
import pytest
import torch
from builders.families import SPECS, assert_same_maps, generate
from builders.plans import capturing
from builders.reference_attention import BOOKS
from builders.refusals import user_error
from PIL import Image
from torch._dynamo.utils import counters

from seediff.attention.features import capture_features
from seediff.attention.see_photos import run_clean
from seediff.cli.main import main
from seediff.config.constants import CaptureConfig
from seediff.models import compiled, memory
from seediff.models.families.family import DrawRequest
from seediff.models.registry import load_model

NAMES = [name for name in BOOKS if name not in ("unet", "lcm", "flux2_klein")]  # the networks are XL's and FLUX.2's


@pytest.fixture(autouse=True)
def traced(monkeypatch):
    """Graphs are made as always, and then run by torch as they are, which takes no compiler."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="module", params=NAMES)
def folder(request, twin):
    return str(twin(request.param))


def graphs():
    return counters["stats"]["unique_graphs"]


def check_same(model, plain, specs):
    """Pictures and their maps; how many graphs there are afterwards."""
    images, maps = generate(model, specs)
    expected, own = generate(plain, specs)
    for found, known in zip(maps, own, strict=True):
        assert_same_maps(found, known, 1e-5)
    assert np.abs(np.stack(images).astype(int) - np.stack(expected)).max() <= 1
    return graphs()


def test_every_family(folder, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    model, plain = load_model(folder, device="cpu", compile=True), load_model(folder, device="cpu")
    start, blocks = graphs(), len(model.family.layers(model.network))
    made = check_same(model, plain, SPECS[:2])
    assert start < made <= start + 2 * blocks
    assert not counters["graph_break"]


@pytest.fixture(scope="module")
def pixart_folder(twin):
    return str(twin("pixart"))


@pytest.fixture
def pixart(pixart_folder):
    return load_model(pixart_folder, device="cpu", compile=True), load_model(pixart_folder, device="cpu")


def test_a_smaller_last_batch_is_compiled_once(pixart):
    one, other = pixart
    made = [check_same(one, other, specs) for specs in (SPECS[:2], SPECS[:1], SPECS[:2])]
    assert made[0] < made[1] == made[2]
    generate(pixart[0], SPECS[:2], steps=3, guidance_scale=4.0)
    assert graphs() == made[2]


def test_graphs_do_not_depend_on_what_is_captured(pixart):
    model, plain = pixart
    image = model.pipe(**model.family.call(model.pipe, drawing())).images[0]  # nobody listens
    made = graphs()
    name = next(iter(model.family.layers(model.network)))
    kept = []
    for one in (plain, model):
        with capturing(one.network, CaptureConfig(steps=2), reads={"self": None}, guidance=True) as recorder:
            same = one.pipe(**one.family.call(one.pipe, drawing())).images[0]
        kept.append(recorder.maps([{}], [""])[0])
    assert_same_maps(kept[1], kept[0], 1e-5)
    assert np.array_equal(same, image)
    assert graphs() == made
    assert model.network.get_submodule(name)._seediff_tap[0].listeners == [{}, {}, {}]


def drawing():
    noise = [torch.Generator().manual_seed(3)]
    return DrawRequest(
        prompts=["a dog"], negative_prompt="", height=64, width=64, steps=4, guidance_scale=3.0, generators=noise
    )


def test_features_and_maps_of_a_compiled_unet(sd1_folder, sd1_model):
    compiled = load_model(str(sd1_folder), device="cpu", compile=True)
    with capture_features(compiled.network, (16, 16)) as features:
        found = clean_maps(compiled, 16)
    with capture_features(sd1_model.network, (16, 16)) as expected:
        assert_same_maps(found, clean_maps(sd1_model, 16), 1e-5)
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=0)


def clean_maps(model, side):
    """Of one call of the network."""
    with capturing(model.network, guidance=False) as recorder:
        run_clean(model, torch.ones(1, 4, side, side), timestep=50)
    return recorder.maps([{}], [""])[0]


def test_a_lora_comes_before(pixart):
    model, _ = pixart
    block = model.network.transformer_blocks[1].attn2
    block.to_q = torch.nn.Sequential(block.to_q)  # as peft wraps it
    with user_error(r"^the network was changed after it was compiled \(a LoRA\?\)"):
        generate(model)


def test_model_offload_goes_together_and_the_rest_is_refused(pixart_folder, monkeypatch):
    monkeypatch.delitem(memory.NOTHING_TO_SAVE, "cpu")
    model = load_model(pixart_folder, device="cpu", compile=True, offload="model")
    check_same(model, load_model(pixart_folder, device="cpu"), SPECS[:2])
    assert not counters["graph_break"]
    with user_error(r"^compile: does not work with offload sequential; use offload model, or"):
        load_model(pixart_folder, device="cpu", compile=True, offload="sequential")
    with user_error(r"^compile: is not supported on mps; leave it out$"):
        compiled.check_compile("mps", "none")


def test_too_many_shapes_end_a_run_in_one_line_and_the_next_goes_on(
    pixart_folder, tmp_path, monkeypatch, capfd, caplog
):
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiled, "MOST_GRAPHS", 3)
    for number in range(2):
        Image.new("RGB", (64 + 32 * number, 64), (200, 80 * number, 0)).save(tmp_path / f"{number}.png")
    photos = [str(tmp_path / f"{number}.png") for number in range(2)]
    words = ["mask", *photos, "--classes", "dog", "--batch-size", "1", "--presence", "0"]
    words += f"--model {pixart_folder} --compile --device cpu --quiet --out {tmp_path}/set".split()
    codes = []
    while not codes or (codes[-1] and len(codes) < 4):
        torch._dynamo.reset()  # as in a new process
        codes.append(main(words))
        said = capfd.readouterr().err.strip()
        if codes[-1]:
            assert "--compile: too many shapes: torch has made 3 graphs of one class of blocks" in said
    assert (codes[0], codes[-1]) == (2, 0)
    assert len((tmp_path / "set" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_without_a_compiler(pixart_folder, monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}),
        user_error(r"^compile: torch cannot compile for cpu here \(.*compiler.*\); leave it out$"),
    ):
        load_model(pixart_folder, device="cpu", compile=True)


def test_a_program_of_its_own(pixart_folder, monkeypatch):
    """By torch's compiler, with which a user compiles."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("there is no compiler of C++ here")
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    model = load_model(pixart_folder, device="cpu", compile=True)
    assert_same_maps(clean_maps(model, 32), clean_maps(load_model(pixart_folder, device="cpu"), 32), 1e-5)
    assert not counters["graph_break"]
