import json
from types import SimpleNamespace

import pytest
from builders.configured import configured
from builders.published import written
from builders.refusals import user_error
from huggingface_hub.errors import GatedRepoError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from seediff import devices
from seediff.cli.main import main
from seediff.config.runs import GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig
from seediff.files.photo_files import find_photos
from seediff.models import hub as names
from seediff.models.describe import describe_here
from seediff.models.families import families, pipeline_family
from seediff.models.short_names import EMBEDDED, SHORT_NAMES
from seediff.run.generate_job import GenerateJob
from seediff.run.loop import dry_run
from seediff.run.mask_job import MaskJob
from seediff.run.segment_job import SegmentJob

SMALL = ["model_index.json", "transformer/config.json", "vae/config.json"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose answers a test chooses: hub id → why it gives nothing, or None: it gives `tmp_path / id`; and what
    was asked.
    """
    answers = {}
    asked = []

    def fetch(hub_id, allow_patterns, local_dir):
        if (error := answers[hub_id]) is not None:
            raise error
        asked.extend(allow_patterns)
        return str(tmp_path / hub_id)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    monkeypatch.setattr(names, "cached_file", lambda *_: None)
    return answers, asked


def test_every_name_is_of_a_family_and_every_family_has_one():
    named_families = [pipeline_family(model.pipeline) for model in SHORT_NAMES.values()]
    assert {family.title for family in named_families if family} == {family.title for family in families()}
    names = [*SHORT_NAMES, *(model.hub_id for model in SHORT_NAMES.values())]
    assert len(names) == len(set(names))


def test_a_model_whose_licence_is_not_accepted(hub):
    hub_id = SHORT_NAMES["sd2-base"].hub_id
    answer = SimpleNamespace(status_code=404, headers={}, request=None)
    hub[0][hub_id] = GatedRepoError("closed", response=answer)
    for switch, file in ((enable_progress_bars, names.INDEX), (disable_progress_bars, "a.safetensors")):
        switch()
        with user_error(rf"^model: {hub_id} cannot be fetched from the hub \(closed\); check its name, its licence"):
            names.fetch_file(hub_id, file)
        assert are_progress_bars_disabled() == (switch is disable_progress_bars)  # as before


@pytest.mark.parametrize(
    ("model", "steps", "guidance"),
    [
        ("sdxl-turbo", 4, 0.0),
        ("flux-dev", 28, 3.5),
        ("black-forest-labs/FLUX.1-dev", 28, 3.5),
    ],
)
def test_a_known_model_has_its_authors_defaults_where_the_hub_gives_nothing(hub, model, steps, guidance):
    hub_id = SHORT_NAMES[model].hub_id if model in SHORT_NAMES else model
    hub[0][hub_id] = ConnectionError("no network")
    config = configured(GenerateConfig, {"classes": ("dog",), "model": model})
    assert (config.steps, config.guidance_scale, config.mask.method) == (steps, guidance, "seediff")


def test_a_plan_says_what_is_not_known_before_a_model_is_fetched(hub, tmp_path, monkeypatch):
    """With nothing in the cache, with its model_index.json alone, and with all small files."""
    name = "sdxl"
    hub[0][SHORT_NAMES[name].hub_id] = ConnectionError("no network")
    (tmp_path / "photo.png").touch()
    found = find_photos([tmp_path / "photo.png"])
    folder = written(name, tmp_path / "cache" / name)
    shorter = tmp_path / "index"
    shorter.mkdir()
    (shorter / "model_index.json").write_bytes((folder / "model_index.json").read_bytes())
    for here in (None, shorter, folder):
        monkeypatch.setattr(names, "cached_file", lambda _, name, here=here: here and here / name)
        line = {"classes": ("dog",), "model": name}
        jobs = [GenerateJob(configured(GenerateConfig, line)), MaskJob.of(configured(MaskPhotosConfig, line), found)]
        for job in (*jobs, SegmentJob.of(SegmentPhotosConfig(model=name), found)):
            text = "\n".join(dry_run(job, tmp_path / "out"))
            assert f"downloads it; licence {SHORT_NAMES[name].licence})\nDevice: cpu, " in text
            assert "\nMemory: not known, because" in text
            assert ("\nCapture: not known, because the model's configuration" in text) == (here is not folder)
            assert text.count("\nCapture: ") == 1
            assert ("the model's own size, which is not known" in text) == (here is not folder and job is jobs[0])
            levels = here is folder and not isinstance(job, SegmentJob)
            assert ("\nLevels: " in text) == levels


def test_a_plan_counts_the_weights(capsys):
    size = sum(path.stat().st_size for path in EMBEDDED["mini"].rglob("*.safetensors"))
    for dtype, times in (("float16", 1), ("float32", 2)):
        line = ["generate", "--classes", "dog", "--out", "absent", "--dry-run", "--device", "cpu", "--dtype", dtype]
        assert main(line) == 0
        (weights,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Memory: ")]
        number, unit, *rest = weights.split()[1:]
        assert (unit, rest[:4]) == ("MB", ["of", "weights", "in", f"{dtype};"])
        assert float(number) == pytest.approx(times * size / 1e6, rel=0.01)  # the files have headers


def test_the_number_format_of_each_on_a_gpu(hub, monkeypatch):
    """bfloat16 where float16 overflows."""
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: True)
    hub[0].update({model.hub_id: ConnectionError("no network") for model in SHORT_NAMES.values()})
    named = {family.title for family in families() if family.half == "bfloat16"}
    for name, model in SHORT_NAMES.items():
        family = pipeline_family(model.pipeline)
        job = GenerateJob(GenerateConfig(("dog",), model=name))
        assert job.usual_dtype("cuda") == ("bfloat16" if family.title in named else "float16")
        assert job.usual_dtype("cpu") == "float32"
    part = GenerateConfig(("dog",), model="owner/repository/part.gguf", base="flux-schnell", device="cuda")
    assert GenerateJob(part).resolved().dtype == "bfloat16"


def test_any_other_hub_id_is_asked_for_its_small_files_once(hub, tmp_path, monkeypatch):
    answers, asked = hub
    answers |= {"owner/my-flux": None, "owner/absent": ConnectionError("no network")}
    cached = lambda hub_id, name: tmp_path / hub_id / name if name in asked else None  # noqa: E731
    monkeypatch.setattr(names, "cached_file", cached)
    files = {"model_index.json": {"_class_name": "FluxPipeline"}, "transformer/config.json": {"guidance_embeds": True}}
    files["vae/config.json"] = {}
    for name, content in files.items():
        path = tmp_path / "owner/my-flux" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    for _ in range(2):
        config = configured(GenerateConfig, {"classes": ("dog",), "model": "owner/my-flux"})
        assert (config.steps, config.guidance_scale) == (28, 3.5)
    assert asked == SMALL
    monkeypatch.setattr(names, "cached_file", lambda *_: None)
    with user_error(r"owner/absent cannot be fetched from the hub \(no network\); check its name"):
        configured(GenerateConfig, {"classes": ("dog",), "model": "owner/absent"}, planned=True)
    assert describe_here("owner/other") is None  # without being asked to fetch


def test_the_list_has_every_name(capsys):
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{said}" and model.hub_id in said for name, model in SHORT_NAMES.items())
    assert "draws aeroplane, " in said
