"""A plan is made of a model's files and of the loaded model; what both say must be equal."""

import json
import shutil
from dataclasses import replace

import pytest
from diffusers import DiffusionPipeline, HeunDiscreteScheduler
from refusals import user_error

from seediff.cli.main import main
from seediff.config.runs import GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig
from seediff.files.photo_files import Photo
from seediff.models.describe import find_model
from seediff.models.facts import Facts, facts_of_files, facts_of_model
from seediff.models.locate import locate
from seediff.models.registry import load_model
from seediff.run import loop
from seediff.run import plan as plans
from seediff.run.generate_job import GenerateJob
from seediff.run.mask_job import MaskJob


def other_sizes(facts):
    config = {**facts.info.network_config, "sample_size": 32}
    return replace(facts, info=replace(facts.info, network_config=config))


OTHERWISE = {
    "sizes of images": other_sizes,
    "attention": lambda facts: replace(facts, layers=dict([*facts.layers.items()][:-1])),
    "tokens of words": lambda facts: replace(facts, readers=[replace(one, first=2) for one in facts.readers]),
    "numbers of predictions": lambda facts: replace(
        facts, scheduler=HeunDiscreteScheduler.from_config(facts.scheduler.config)
    ),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_model_that_is_loaded_otherwise_than_its_files_say(mini_folder, mini_model, monkeypatch, what):
    config = GenerateConfig(classes=("dog",), steps=3, model=str(mini_folder))
    job = GenerateJob(config, find_model(config.model))
    monkeypatch.setattr(plans, "load_found", lambda *_, **__: mini_model)
    assert job.load().plan.predictions >= 3
    monkeypatch.setattr(plans, "facts_of_model", lambda model: OTHERWISE[what](facts_of_model(model)))
    with user_error(f"has other {what} than its files say; download it again"):
        job.load()


def test_what_is_not_known_yet_is_not_guessed(mini_folder, tmp_path):
    """Values alone, then a file that is gone, then all."""
    config = MaskPhotosConfig(classes=("dog",), model=str(mini_folder))
    info = find_model(config.model)
    job = MaskJob.of(config, [Photo(tmp_path / "a.png", "a")], info=info)
    plan = job.plan(Facts(info))
    assert (plan.capture, plan.maps, plan.words) == (None, None, None)
    all_facts = facts_of_files(info)
    plan = job.plan(replace(all_facts, readers=None, scheduler=None))
    assert plan.words is None
    assert plan.maps.map_bytes
    assert job.plan(all_facts).words == {("dog",): [("a photo of a dog", ("dog",))]}
    with user_error("scheduler .* has no noise schedule"):
        job.plan(replace(all_facts, scheduler=object()))
    with user_error("scheduler .* has no noise schedule"):  # as Playground 2.5's
        plans.plan_model(SegmentPhotosConfig(model=config.model), replace(all_facts, scheduler=object()))


def test_only_a_scheduler_is_loaded_as_a_scheduler(tmp_path, monkeypatch, mini_folder):
    """Before the weights are read, model_index.json is held against the classes that may be loaded."""
    folder = tmp_path / "model"
    shutil.copytree(mini_folder, folder)
    assert facts_of_files(find_model(str(folder), None)).scheduler is not None
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "scheduler": ["diffusers", "DiffusionPipeline"]}))
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", lambda *_, **__: pytest.fail("loaded a pipeline"))
    assert facts_of_files(replace(find_model(str(mini_folder), None), files=locate(str(folder)))).scheduler is None


@pytest.mark.parametrize(("name", "key"), [("pixart", "patch_size"), ("sd3", "patch_size")])
def test_a_configuration_that_leaves_out_a_default(twin, tmp_path, name, key):
    """A size is unknown at first, and then that of the network's class, as in the loaded model."""
    folder = tmp_path / "model"
    shutil.copytree(twin(name), folder)
    path = folder / "transformer/config.json"
    config = json.loads(path.read_text())
    config.pop(key)
    path.write_text(json.dumps(config))
    info = find_model(str(folder))
    known = facts_of_files(info).sizes
    assert info.sizes() != known == facts_of_model(load_model(str(folder), device="cpu")).sizes


def test_a_disk_that_is_too_small_for_the_attention_maps(tmp_path, monkeypatch, capsys):
    line = f"generate --classes dog --per-class 50 --out {tmp_path}/o --dry-run --keep-attention --device cpu".split()
    for free, said in ((10**6, True), (10**12, False)):
        monkeypatch.setattr(loop, "free_bytes", lambda _, free=free: free)
        assert main(line) == 0
        text = capsys.readouterr().out
        assert ("\nThe disk is too small: 50 files of attention maps take about 244.3 MB, and" in text) == said
    monkeypatch.setattr(loop, "free_bytes", lambda _: 10**6)
    job = GenerateJob(GenerateConfig(classes=("dog",), per_class=1, steps=1, keep_attention=True, device="cpu"))
    warned = []
    loop.run(job, tmp_path / "o", warn=warned.append)
    assert [text[:22] for text in warned] == ["The disk is too small:"]


def test_memory_that_is_not_known_has_no_quantisation():
    line = plans.memory_line(GenerateConfig(("dog",), quantize="nf4", device="cuda"), None, None)
    assert line == "Memory: not known, because the weights are not all on this machine"


def test_what_is_on_this_machine_is_not_downloaded():
    """Weights of a hub's model in the cache; a folder whose weights nobody can read yet."""
    info = find_model("mini")
    hub = replace(info, files=replace(info.files, whole="owner/mini"))
    for one, size, here in ((hub, 1000, True), (info, None, True), (hub, None, False)):
        line = plans.model_line(GenerateConfig(("dog",)), one, "none", size)
        assert ("on this machine)" in line, "downloads it" in line) == (here, not here)
