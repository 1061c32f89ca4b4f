from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders.families import SPECS, generate
from builders.refusals import user_error

from seediff.attention.see_photos import encode_images
from seediff.cli.main import main
from seediff.models import saving_memory
from seediff.models.registry import load_model


@pytest.fixture
def offered(monkeypatch):
    """The CPU as if it had something to save."""
    monkeypatch.delitem(saving_memory.NOTHING_TO_SAVE, "cpu")


def test_offload_is_refused_where_it_saves_nothing():
    for device, why in (("cpu", "here it runs on the cpu"), ("mps", "mps shares the computer's memory")):
        with user_error(rf"^offload: model: needs a GPU, but {why}; leave it out$"):
            saving_memory.check_offload("model", device)
    saving_memory.check_offload("sequential", "cuda:1")
    saving_memory.check_offload("none", "cpu")


@pytest.mark.slow
def test_a_run_is_continued_with_offload_or_without(mini_folder, tmp_path, offered, monkeypatch):
    options = "--classes dog,cat --per-class 1 --steps 2 --device cpu --quiet".split()
    options += ["--model", str(mini_folder)]
    command = ["generate", *options, "--out", str(tmp_path / "set")]
    assert main([*command, "--offload", "model"]) == 0
    written = (tmp_path / "set" / "seediff.toml").read_text(encoding="utf-8")
    assert "offload" not in written
    rows = (tmp_path / "set" / "metadata.jsonl").read_bytes()
    (tmp_path / "set" / "metadata.jsonl").unlink()
    assert main(command) == 0  # the same configuration: no word of another one
    assert len((tmp_path / "set" / "metadata.jsonl").read_text().splitlines()) == len(rows.splitlines()) == 2
    monkeypatch.setitem(saving_memory.NOTHING_TO_SAVE, "cpu", "here it runs on the cpu")
    for more in ((), ("--dry-run",)):  # a dataset that is complete needs no model
        assert main([*command, "--offload", "model", *more]) == 0


@pytest.mark.slow
def test_tiles_blend_images_and_latents_of_more_than_the_autoencoders_size(sd1_folder, sd1_model):
    tiled = load_model(str(sd1_folder), device="cpu", vae_tiling=True)
    spec = SPECS[:1]
    for size, same in ((128, True), (192, False)):
        (image,), maps = generate(tiled, spec, size=size, steps=1)
        (whole,), own = generate(sd1_model, spec, size=size, steps=1)
        assert np.array_equal(image, whole) == same
        assert torch.equal(maps[0].cross_attention[own[0].lattice], own[0].cross_attention[own[0].lattice])
        assert np.abs(image.astype(int) - whole).mean() < 8
        assert torch.equal(encode_images(tiled, [whole]), encode_images(sd1_model, [whole])) == same


@pytest.mark.slow
def test_on_a_gpu_images_are_decoded_one_at_a_time(sd1_folder):
    pipe = load_model(str(sd1_folder), device="cpu").pipe
    assert not pipe.vae.use_slicing
    moved = SimpleNamespace(vae=pipe.vae, to=lambda device: None)
    saving_memory.move_to(moved, "cuda:0", "none")
    assert pipe.vae.use_slicing
