import re
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from seediff import devices
from seediff.cli.main import main
from seediff.config.generate import GenerateConfig
from seediff.config.resolve import configure
from seediff.files.documents import read_toml
from seediff.models.info import model_info
from seediff.models.known import BY_NAME
from seediff.run.generate import GenerateJob

TORCHS = torch.nn.functional


def drawing(model, **options):
    return configure(GenerateConfig, {"classes": ("dog",), "model": model, **options})


def needed(model, images, **options):
    return footprint_of(GenerateJob(drawing(model, **options)), images)


def footprint_of(job, images):
    job.check()
    found = job.footprint(images)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("model", "images", "gib"),
    [
        ("sd1.5", 1, 2.72),
        ("sd1.5", 8, 3.6),
        ("sdxl", 1, 9.06),
        ("sd3.5-medium", 1, 17.65),
        ("flux-dev", 1, 33.93),
    ],
)
def test_an_h100_needed_as_much(model, images, gib):
    """benchmarks/gpu.py, in bfloat16, all maps captured."""
    assert needed(model, images, dtype="bfloat16").total / 2**30 == pytest.approx(gib, rel=0.15)


def test_the_table_of_the_page():
    page = (Path(__file__).parents[2] / "docs/gpus.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.-]+)`[^|]*\|(.*)\|$", page, re.MULTILINE)
    rows = [(name, cells.replace(" ", "").split("|")) for name, cells in rows if name in BY_NAME]
    assert len(rows) == 15
    for name, cells in rows:
        one, eight = needed(name, 1), needed(name, 8)
        offloaded = footprint_of(GenerateJob(drawing(name), offload="model"), 8)
        sizes = one.weights, one.activations, eight.activations, one.total, eight.total, offloaded.total
        assert cells == [f"{size / 1e9:.1f}" for size in sizes], name


@pytest.mark.parametrize(
    ("model", "rows", "step", "decoded"),
    [
        ("sd1.5", 16, 1.016, 0.596),
        ("sdxl", 16, 2.505, 4.768),
        ("flux-dev", 8, 3.594, 2.377),
        ("qwen-image", 4, 1.412, 4.131),
        ("z-image-turbo", 4, 1.866, 2.377),
        ("chroma", 4, 1.864, 2.377),
        ("ernie-image", 4, 2.888, 2.378),
        ("lumina2", 4, 1.895, 2.377),
        ("sana", 16, 0.978, 1.627),
    ],
)
def test_a_step_and_a_decoding_of_an_h100(model, rows, step, decoded):
    """Peaks in GiB, in the number format of each."""
    info = model_info(model)
    numbers, (side, factor) = info.family.numbers, info.sides()
    positions, decoding = (side // factor) ** 2, 4 if numbers.in_float32 else 2
    assert 2 * rows * positions * numbers.width(info.network) * numbers.step / 2**30 == pytest.approx(step, rel=0.15)
    assert decoding * side**2 * numbers.decoded / 2**30 == pytest.approx(decoded, rel=0.15)


class Live(TorchDispatchMode):
    """Counts the bytes of all storages that operations made and that are still in use."""

    def __init__(self):
        super().__init__()
        self.held, self.peak = {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in tree_flatten(found)[0]:
            if torch.is_tensor(one):
                storage = one.untyped_storage()
                self.held.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.held = {key: (ref, size) for key, (ref, size) in self.held.items() if not ref.expired()}
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))
        return found


@pytest.mark.parametrize("name", ["sd1.5", "sd3.5-medium", "flux-dev", "sana"])
@torch.no_grad()
def test_numbers_of_a_step_are_those_of_the_meta_device(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from on_gpu.pipelines import exact

    fused = mock.patch.object(TORCHS, "scaled_dot_product_attention", lambda query, *_, **__: torch.empty_like(query))
    model = exact(name, "meta", "bfloat16", tmp_path, text_layers=1, fewer=True)
    side, channels = model.image_side // model.pipe.vae_scale_factor, model.pipe.vae.config.latent_channels

    def peak(rows):
        condition = model.family.encode(model.pipe, ["a dog"] * rows, "meta")
        latents = torch.empty(rows, channels, side, side, dtype=torch.bfloat16)
        with Live() as live:
            model.family.denoise(model.pipe, latents, 500, condition)
        return live.peak

    with torch.device("meta"), fused:
        a_row = (peak(3) - peak(1)) / 2
    numbers = model.family.numbers
    expected = 2 * model.latent_side**2 * numbers.width(model.network.config) * numbers.step
    assert a_row == pytest.approx(expected, rel=0.15)
    assert numbers.width({}) == numbers.width(model.network.config)


def test_offload_and_float32_change_what_is_needed():
    assert needed("sdxl", 1).activations == pytest.approx(2 * needed("sdxl", 1, dtype="bfloat16").activations)
    assert needed("sd1.5", 1, dtype="float32").weights == 4e9 * BY_NAME["sd1.5"].billions
    assert (
        footprint_of(GenerateJob(drawing("flux-dev"), offload="model"), 1).weights == 2e9 * BY_NAME["flux-dev"].largest
    )


def test_a_batch_that_fits_is_chosen_recorded_and_kept(tmp_path, monkeypatch, capsys):
    out, line = tmp_path / "set", ["generate", "--classes", "dog", "--per-class", "3", "--steps", "2", "--quiet"]
    line += ["--device", "cpu", "--out", str(out)]
    room = int(needed("mini", 2).total / 0.9) + 1
    monkeypatch.setattr(devices, "find_gpu", lambda device: ("A card", room))
    assert main([*line, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "in 2 batches of up to 2" in said
    assert main([*line, "--batch-size", "4", "--dry-run"]) == 0
    assert "in 1 batches of up to 4" in capsys.readouterr().out
    assert main(line) == 0
    about = read_toml(out / "seediff.toml")
    assert about["batch_size"] == 2
    assert "batch_size" in about["sources"]["this machine"]
    monkeypatch.setattr(devices, "find_gpu", lambda device: None)
    (out / "metadata.jsonl").unlink()
    assert main(line) == 0  # continued on a machine where 8 fit
    assert read_toml(out / "seediff.toml") == about
    assert main([*line, "--batch-size", "8"]) == 2
    assert "batch_size: 2 → 8" in capsys.readouterr().err


def test_a_full_memory_names_what_to_change(tmp_path, monkeypatch, capsys):
    full = mock.Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr("seediff.models.registry.load_model", full)
    assert main(["generate", "--classes", "dog", "--quiet", "--out", str(tmp_path / "set")]) == 2
    said = "the device is out of memory; use a smaller --batch-size or --size, or --offload model on a GPU"
    assert capsys.readouterr().err == f"seediff: {said}\n"
