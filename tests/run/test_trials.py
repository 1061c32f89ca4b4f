from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from PIL import Image

from seediff.attention import draw as drawing
from seediff.cli.main import main
from seediff.config.generate_config import GenerateConfig
from seediff.files.documents import read_toml
from seediff.files.photo_files import find_photos
from seediff.models.graphs import MARK, find_graphs, without_graphs
from seediff.models.registry import load_model
from seediff.run import cluster, trials
from seediff.run.generate_job import GenerateJob
from seediff.run.model_job import ModelJob
from seediff.run.output import BatchRecord
from seediff.run.photos import PhotoSpec, largest_photo


def test_a_full_memory_names_what_to_change(tmp_path, monkeypatch, capsys):
    full = mock.Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr("seediff.models.registry.load_found", full)
    assert main(["generate", "--classes", "dog", "--quiet", "--out", str(tmp_path / "set")]) == 2
    said = "the device is out of memory; use a smaller --batch-size or --size, or --offload model on a GPU"
    assert capsys.readouterr().err == f"seediff: {said}\n"


@pytest.mark.parametrize(
    ("count", "room", "size", "tried"),
    [(20, 8, 8, [8]), (20, 3, 2, [8, 4, 2]), (20, 0, 1, [8, 4, 2]), (3, 3, 8, [3]), (3, 2, 2, [3, 2]), (1, 0, 1, [1])],
)
def test_batches_are_halved_until_they_fit(monkeypatch, count, room, size, tried):
    """A batch of so many pictures is tried once, and a single one never."""
    seen = []
    monkeypatch.setattr(trials, "_fits", lambda job, network, number: seen.append(number) or number <= room)
    job = SimpleNamespace(config=SimpleNamespace(batch_size=8), items=lambda: range(count))
    assert trials.fitting_size(job, None) == size
    assert seen == tried


def test_a_size_that_was_tried_is_recorded_and_kept(tmp_path, monkeypatch, capsys):
    drawn, own = [], drawing.generate_batch

    def with_room_for_two(model, specs, **options):
        drawn.append((len(specs), options["steps"]))
        if len(specs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(model, specs, **options)

    monkeypatch.setattr(drawing, "generate_batch", with_room_for_two)
    monkeypatch.setattr(ModelJob, "tries_batches", True)
    out, line = tmp_path / "set", ["generate", "--classes", "dog", "--per-class", "3", "--steps", "3"]
    line += ["--device", "cpu", "--quiet", "--out", str(out)]
    assert main(line) == 0
    assert drawn == [(3, 2), (2, 2), (2, 2), (2, 3), (1, 3)]  # tried with few steps
    about = read_toml(out / "seediff.toml")
    assert (about["batch_size"], about["steps"]) == (2, 3)
    assert "batch_size" in about["sources"]["this machine"]
    (out / "metadata.jsonl").unlink()
    drawn.clear()
    assert main(line) == 0  # continued, perhaps where 8 fit
    assert drawn == []
    assert read_toml(out / "seediff.toml") == about
    assert main([*line, "--batch-size", "8"]) == 2
    assert "batch_size: 2 → 8" in capsys.readouterr().err


def test_the_largest_photo(tmp_path):
    """As the model sees it, with as many positions as a square of its own size at most; with the most words."""
    model = load_model("mini", device="cpu")
    for name, size in (("long", (300, 100)), ("square", (60, 60)), ("twice", (60, 60))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    photos = find_photos([tmp_path]).photos
    specs = [PhotoSpec(i, photo, ("dog",) * (1 + (photo.name == "twice"))) for i, photo in enumerate(photos)]
    assert [spec.photo.name for spec in specs] == ["broken", "long", "square", "twice"]
    assert largest_photo(model, specs, "keep", None).photo.name == "twice"
    assert largest_photo(model, specs[:3], "keep", None).photo.name == "square"
    assert largest_photo(model, specs[:3], "resize", None).photo.name == "long"  # all are of one size
    assert largest_photo(model, specs[:1], "keep", None).photo.name == "broken"


def test_one_machine_of_each_kind_of_card():
    nodes = [
        {"NodeID": name, "Resources": resources}
        for name, resources in (
            ("cpu", {"CPU": 8.0}),
            ("a", {"GPU": 2.0, "accelerator_type:A100": 1.0}),
            ("b", {"GPU": 8.0, "accelerator_type:A100": 1.0}),
            ("c", {"GPU": 1.0, "accelerator_type:T4": 1.0}),
            ("d", {"GPU": 1.0}),
            ("e", {"GPU": 1.0}),
        )
    ]
    assert cluster.one_of_each_card(nodes) == ["a", "c", "d", "e"]


def test_a_worker_tries_and_takes_the_size_that_was_found(monkeypatch):
    job, there, made = GenerateJob(GenerateConfig(("dog",), per_class=5, device="cpu")), {"gpu": "A card"}, []
    monkeypatch.setattr(cluster, "load_job", lambda _: (job, there))
    monkeypatch.setattr(GenerateJob, "fitting_size", lambda self: 4)
    assert cluster.try_batches([None]) == cluster.WorkerAnswer(there, 4)
    monkeypatch.setattr(GenerateJob, "make_batch", lambda self, n, out: made.append(self.batches[n]) or BatchRecord())
    for size, lengths in ((4, [4, 1]), (2, [2, 2, 1])):
        made.clear()
        for number in range(len(lengths)):
            cluster.make_batch([None], number, size)
        assert [len(batch) for batch in made] == lengths
    assert job.config.origins["batch_size"] == ("this machine", 2)


def test_a_trial_does_not_see_recordings():
    network, recordings = torch.nn.Linear(1, 1), object()
    setattr(network, MARK, recordings)
    with without_graphs(network):
        assert find_graphs(network) is None
    assert find_graphs(network) is recordings
    with without_graphs(torch.nn.Linear(1, 1)):
        pass
