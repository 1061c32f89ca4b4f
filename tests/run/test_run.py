import re
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from fake_engine import fake_draw
from interrupted import check_interrupted, contents, interrupt_after
from items import rows_of
from refusals import user_error
from safetensors.torch import load_file, save_file

from seediff import Dataset
from seediff.attention.maps import AttentionMaps
from seediff.config.runs import GenerateConfig
from seediff.config.settings import load_config
from seediff.dataset import native
from seediff.dataset.check import check_dataset
from seediff.files.names import BATCHES
from seediff.masks.results import MaskResult
from seediff.report.set_summary import count_flags
from seediff.rows.values import NOT_DRAWN, flag_kind
from seediff.run import generate_job as run_module
from seediff.run import output
from seediff.run.engine import Engine
from seediff.run.generate_job import DrawnSample, GenerateJob, generate

CONFIG = GenerateConfig(classes=("dog", "cat"), per_class=5, batch_size=3)
fingerprints = partial(contents, folders=True)
faked = partial(generate, draw=fake_draw)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The files of an uninterrupted run of CONFIG."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    faked(CONFIG, out)
    return fingerprints(out)


def test_layout_rows_and_masks(tmp_path):
    out = tmp_path / "deep" / "pets"
    config = replace(CONFIG, classes_per_image=2, reject=False, keep_soft=True, keep_attention=True, objects=True)
    result = faked(config, out)
    folders, files = "attention images instances masks soft", "README.md classes.txt metadata.jsonl preview.html"
    assert {p.name for p in out.iterdir()} == {".batches", "seediff.toml", *folders.split(), *files.split()}
    assert (result.made, result.done) == (5, 5)
    rows = rows_of(out)
    assert [row["file_name"] for row in rows] == [f"images/00000{i}.png" for i in range(5)]
    for row, sample in zip(rows, Dataset.open(out), strict=True):
        keys = "prompt classes class_ids seed attempt flags area confidence model method version"
        assert list(row)[: 2 + len(keys.split())] == ["file_name", "mask_file_name", *keys.split()]
        assert row["instances"] == list(sample.instances.class_ids)
        assert row["class_ids"] == [CONFIG.classes.index(name) + 1 for name in row["classes"]]
        for name, class_id in zip(row["classes"], row["class_ids"], strict=True):
            assert row["area"][name] == pytest.approx((sample.label_map == class_id).mean(), abs=1e-6)
        for name, class_id, soft in zip(row["classes"], row["class_ids"], sample.soft, strict=True):
            inside = sample.label_map == class_id
            sure = soft[inside].sum() / max(inside.sum() + soft[~inside].sum(), 1)
            assert row["confidence"][name] == pytest.approx(sure, abs=1e-4)
        assert sample.soft.shape == (2, 32, 32)
        saved = AttentionMaps.load(out / f"attention/{row['file_name'][7:13]}.safetensors")
        assert saved.prompt == row["prompt"]
    text = "".join(p.read_text(encoding="utf-8") for p in out.iterdir() if p.is_file())
    assert str(tmp_path) not in text
    assert any(row["instances"] for row in rows)
    assert not check_dataset(out).errors


@pytest.mark.parametrize("beside", [False, True])
def test_stopped_at_writes_and_continued(tmp_path, monkeypatch, unbroken, beside):
    """At the start and the end at every write."""
    stops = [1.5, 18, -1] if beside else [0, 5.5, -2, -1.5, -1, -0.5]
    check_interrupted(lambda out: faked(CONFIG, out, engine=Engine(beside)), tmp_path, monkeypatch, stops)
    assert fingerprints(tmp_path / "whole") == unbroken


@pytest.mark.parametrize("damage", ["gone", "record"])
def test_damaged_batches_are_drawn_again(tmp_path, unbroken, damage):
    out = tmp_path / "out"
    interrupt_after(3, CONFIG, out, draw=fake_draw)
    image, record = out / "images/000004.png", out / BATCHES / "000001.json"
    if damage == "gone":
        image.unlink()
    else:
        record.write_text('{"count": 3}')
    drawn = []

    def draw(specs):
        drawn.append(specs[0].index)
        return fake_draw(specs)

    generate(CONFIG, out, draw=draw)
    assert drawn == [3, 9]
    assert fingerprints(out) == unbroken


def test_nothing_committed_binds_nobody(tmp_path, unbroken):
    """What failed in its first batch may be put right: other options go into the same folder, and no file of the first
    try stays.
    """
    out = tmp_path / "out"

    def fails(specs):
        images, maps = fake_draw(specs)
        return [*images[:2], images[2].astype(float)], maps  # two of three are written before it is found out

    wrong = replace(CONFIG, seed=9, image_format="jpg", keep_soft=True, device="cuda")
    with user_error("must be uint8"):
        generate(wrong, out, draw=fails)
    assert list((out / native.IMAGES).iterdir())
    assert output.config_to_continue(out, CONFIG) == CONFIG
    faked(CONFIG, out)
    assert fingerprints(out) == unbroken


def test_files_that_no_record_explains_are_not_removed(tmp_path):
    """A finished dataset whose metadata.jsonl somebody removed is not taken for a first batch that failed."""
    faked(CONFIG, tmp_path / "out")
    (tmp_path / "out" / native.METADATA).unlink()
    with user_error("seed: 0 → 1"):
        faked(replace(CONFIG, seed=1), tmp_path / "out")


def test_device_left_open_is_the_one_begun_with(tmp_path):
    on_cuda = replace(CONFIG, device="cuda", dtype="float16")
    faked(on_cuda, tmp_path / "out")
    assert faked(replace(CONFIG, device="cuda:1"), tmp_path / "out").done == 0
    assert faked(CONFIG, tmp_path / "out").done == 0
    with user_error("device: .cuda. → .cpu."):
        faked(replace(CONFIG, device="cpu"), tmp_path / "out")


def test_foreign_folders_and_files_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with user_error(r"not an output of SeeDiff \(it holds notes\.txt"):
        faked(CONFIG, tmp_path)
    with user_error("there is a file where the folder should be"):
        faked(CONFIG, tmp_path / "notes.txt" / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_rejected_samples_are_drawn_again_together(tmp_path):
    config = replace(CONFIG, per_class=9, reject=True, attempts=3)
    batches = []

    def draw(specs):
        batches.append([(s.index, s.seed) for s in specs])
        return fake_draw(specs)

    result = generate(config, tmp_path / "out", draw=draw)
    assert result.rejected
    assert all(not row.flags for row in result.rows)
    assert all(row.flags for row in result.rejected)
    kept, attempts = {int(r.file_name[7:13]) for r in result.rows}, Counter(r.index for r in result.rejected)
    assert kept | {index for index, count in attempts.items() if count == 3} == set(range(18))
    for row in result.rows:
        assert row.attempt == attempts[int(row.file_name[7:13])]
    assert max(len(batch) for batch in batches) == 3
    seeds = [seed for batch in batches for _, seed in batch]
    assert len(seeds) == len(set(seeds))
    assert "no_seeds" in count_flags(result.rejected, ("dog", "cat"))["dog"]


def test_by_default_only_what_may_lack_a_class_is_drawn_again(tmp_path):
    """What is kept has the same bytes as without rejection."""
    config = replace(CONFIG, per_class=9, classes_per_image=(1, 2), attempts=2)
    all_kept = faked(replace(config, reject=False), tmp_path / "all")
    result = faked(config, tmp_path / "out")
    assert {row.index for row in result.rejected} == {
        number for number, row in enumerate(all_kept.rows) if {*map(flag_kind, row.flags or ())} & {*NOT_DRAWN}
    }
    assert all(len(row.classes) == 2 for row in result.rejected)
    assert any(row.flags and len(row.classes) == 1 for row in result.rows)  # other flags, and one class, are kept
    first = [row.file_name for row in result.rows if row.attempt == 0]
    assert 0 < len(first) < result.made < all_kept.made
    for name in first:
        for folder in ("images", "masks"):
            files = [tmp_path / out / name.replace("images", folder) for out in ("out", "all")]
            assert files[0].read_bytes() == files[1].read_bytes()


def test_confidence_counts_with_any_way_to_reject():
    samples = [
        MaskResult(np.eye(4, dtype=np.uint8) * 2, torch.eye(4).expand(2, 4, 4) / 2, ("dog", "cat"), flags)
        for flags in ((), ("degenerate:dog",), ("mixed:dog",))
    ]
    for reject, expected in (
        (None, ["", "", "mixed:dog"]),
        (False, ["", "", ""]),
        (True, ["", "degenerate:dog", "mixed:dog"]),
    ):
        for least in (None, 0.5):
            job = GenerateJob(replace(CONFIG, classes_per_image=2, reject=reject, min_confidence=least))
            drawn = [DrawnSample(None, None, None, masks) for masks in samples]
            reasons = [",".join(job.reasons_to_reject(sample)) for sample in drawn]
            assert reasons == [",".join(filter(None, (text, "confidence:dog" * bool(least)))) for text in expected]
            assert job.config.may_reject(("dog", "cat")) == (reject is not False or bool(least))
            assert job.config.may_reject(("dog",)) == (bool(reject) or bool(least))


def test_with_a_real_pipeline(tmp_path, mini_folder):
    classes = {"classes": ("dog", "pottedplant"), "per_class": 2, "classes_per_image": 2, "reject": False}
    config = GenerateConfig(**classes, batch_size=2, steps=2, model=str(mini_folder))
    result = generate(config, tmp_path / "out")
    assert result.rows[0].model == "mini"
    text = (tmp_path / "out" / "README.md").read_text() + (tmp_path / "out" / "preview.html").read_text()
    assert str(mini_folder.parent) not in text
    before = fingerprints(tmp_path / "out")
    assert load_config(tmp_path / "out/seediff.toml", GenerateConfig).threads == torch.get_num_threads()
    (tmp_path / "out" / native.METADATA).unlink()
    generate(config, tmp_path / "out")
    assert fingerprints(tmp_path / "out") == before
    # Nothing is missing but the end: a machine without the run's device can make it
    file = tmp_path / "out/seediff.toml"
    file.write_text(re.sub(r'device = "\w+"', 'device = "cuda"', file.read_text()))
    (tmp_path / "out" / native.METADATA).unlink()
    assert generate(config, tmp_path / "out").done == 0


@pytest.mark.slow
def test_a_continued_run_uses_the_threads_that_it_was_begun_with(tmp_path, monkeypatch, mini_folder):
    """Products of matrices are split among threads: a continuation with another number of them would differ in the last
    bits.
    """
    config = GenerateConfig(classes=("dog",), per_class=2, batch_size=1, steps=1, model=str(mini_folder), device="cpu")
    before = torch.get_num_threads()
    used = []
    real = run_module.GenerateJob.make
    monkeypatch.setattr(run_module.GenerateJob, "make", lambda *a: used.append(torch.get_num_threads()) or real(*a))
    interrupt_after(1, replace(config, threads=before + 1), tmp_path / "out")
    generate(config, tmp_path / "out")
    assert used == [before + 1] * 2
    assert torch.get_num_threads() == before
    with user_error(rf"threads: {before + 1} → {before}"):
        generate(replace(config, threads=before), tmp_path / "out")


def test_other_weights_do_not_continue(tmp_path, mini_folder):
    model = tmp_path / "model"
    shutil.copytree(mini_folder, model)
    config = GenerateConfig(classes=("dog",), per_class=2, batch_size=1, steps=2, model=str(model))
    interrupt_after(1, config, tmp_path / "out")
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    data, tensors = weights.read_bytes(), load_file(weights)
    name = min(tensors)
    save_file(tensors | {name: tensors[name] * 1.01}, weights, {"format": "pt"})
    with user_error("started with different weights of model"):
        generate(config, tmp_path / "out")
    weights.write_bytes(data)
    assert generate(config, tmp_path / "out").done == 1
