import tempfile
import threading
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from fake_engine import fake_draw
from interrupted import contents, interrupt_after
from patience import PATIENCE
from photo_set import write_photos
from refusals import user_error
from tiny_job import TinyConfig, TinyJob, tiny

from seediff.attention import draw as drawing
from seediff.cli.main import main
from seediff.config.methods import SegmentConfig
from seediff.config.runs import GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig
from seediff.errors import Notice, UserError
from seediff.files.names import CARD, PREVIEW
from seediff.files.outputs import write_atomic
from seediff.files.photo_files import find_photos
from seediff.files.reading import read_toml
from seediff.run import generate_job as run_module
from seediff.run.engine import Engine, Makers
from seediff.run.generate_job import generate
from seediff.run.mask_job import mask_photos
from seediff.run.output import Loaded
from seediff.run.segment_job import segment_photos

GENERATE = GenerateConfig(classes=("dog", "cat"), per_class=4, batch_size=3, reject=True, attempts=2, keep_soft=True)


class Elsewhere(Engine):
    """What a worker of a cluster does: the job is pickled, and its copy loaded; batches come back in another order."""

    def load(self, job):
        cloudpickle = pytest.importorskip("ray.cloudpickle", reason="Ray is not installed: pip install 'seediff[ray]'")
        there = cloudpickle.loads(cloudpickle.dumps(job))
        ready = there.load()

        def make(job, out, numbers, say):
            for number in reversed(numbers):
                with tempfile.TemporaryDirectory() as scratch:
                    record = there.make(ready, there.batches[number]).write(Path(scratch), job.timer)
                    for name in record.files:
                        write_atomic(out / name, (Path(scratch) / name).read_bytes())
                job.timer.add(there.timer.take())
                yield number, record

        return Makers(ready.loaded, ready.plan, make)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("inputs") / "photos")


def command(name, inputs, model):
    """What runs the command, all but for `out` and `engine`."""
    small = {"model": str(model), "batch_size": 2, "device": "cpu", "threads": 1}
    photos = find_photos([inputs]).photos[:3]
    if name == "generate":
        return partial(generate, GENERATE, draw=fake_draw)
    if name == "mask":
        return partial(mask_photos, MaskPhotosConfig(classes=("dog",), presence=0.0, timesteps=(100,), **small), photos)
    config = SegmentPhotosConfig(segment=SegmentConfig(method="kmeans", k=4), size=32, names=("dog", "car"), **small)
    return partial(segment_photos, config, photos)


@pytest.mark.parametrize("name", ["generate", "segment", pytest.param("mask", marks=pytest.mark.slow)])
def test_the_same_bytes_elsewhere(name, inputs, mini_folder, tmp_path):
    make, out = command(name, inputs, mini_folder), tmp_path / "out"
    make(out=out)
    make(out=tmp_path / "there", engine=Elsewhere())
    before = contents(out)
    assert contents(tmp_path / "there") == before
    (out / PREVIEW).unlink()
    (out / CARD).write_bytes(b"")
    assert make(out=out).done == 0
    assert contents(out) == before  # pages are written again


CONFIG = GenerateConfig(classes=("dog", "cat"), per_class=5, batch_size=2)


@pytest.mark.parametrize("beside", [False, True])
def test_an_error_of_the_writer_stops_the_drawing_with_its_own_line(tmp_path, monkeypatch, beside):
    drawn = [0]

    def draw(specs):
        drawn[0] += 1
        time.sleep(0.02)
        return fake_draw(specs)

    def encode(*_):
        raise UserError("images/000000.png: the disk is full")

    monkeypatch.setattr(run_module, "encode_image", encode)
    with user_error(r"^images/000000.png: the disk is full$"):
        generate(CONFIG, tmp_path / "out", draw=draw, engine=Engine(beside))
    assert drawn[0] == 1 + beside  # of five batches


@pytest.mark.parametrize(("device", "here"), [("cpu", True), ("mps", True), ("cuda:1", False)])
def test_only_cuda_writes_while_it_draws(tmp_path, monkeypatch, device, here):
    """Two threads crash Metal."""
    threads = set()
    real = TinyJob.encoded
    monkeypatch.setattr(TinyJob, "encoded", lambda *given: threads.add(threading.current_thread()) or real(*given))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tiny(tmp_path / "out", config=TinyConfig(device=device))
    assert (threads == {threading.current_thread()}) is here


def test_files_are_written_while_the_next_batch_is_made(tmp_path, monkeypatch):
    """And never more than one batch waits, each in its turn."""
    made, written, second = [], [], threading.Event()

    def make(self, ready, items):
        made.append(items[0])
        if len(made) == 2:
            second.set()
        return real_make(self, ready, items)

    def encoded(self, items, item):
        assert second.wait(PATIENCE)
        assert len(made) <= len(written) // 2 + 2
        written.append(item)
        return real_encoded(self, items, item)

    real_make, real_encoded = TinyJob.make, TinyJob.encoded
    monkeypatch.setattr(TinyJob, "make", make)
    monkeypatch.setattr(TinyJob, "encoded", encoded)
    tiny(tmp_path / "out", engine=Engine(writes_in_thread=True))
    assert (made, written) == (list(range(0, 20, 2)), list(range(20)))


@pytest.mark.parametrize(("count", "room", "drawn", "code"), [(5, 2, [5, 3, 2, 2, 1], 0), (1, 0, [1], 2)])
def test_batches_are_halved_until_they_fit(tmp_path, monkeypatch, capsys, mini_folder, count, room, drawn, code):
    """The size that was found is recorded, and the run continues with it."""
    seen, own = [], drawing.generate_batch

    def with_little_room(model, specs, **options):
        seen.append(len(specs))
        if len(specs) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(model, specs, **options)

    monkeypatch.setattr(drawing, "generate_batch", with_little_room)
    out, line = tmp_path / "set", f"generate --classes dog --per-class {count} --steps 1 --device cpu --quiet".split()
    line += ["--model", str(mini_folder), "--out", str(out)]
    assert main(line) == code
    assert seen == drawn
    if room == 2:
        about = read_toml(out / "seediff.toml")
        assert about["batch_size"] == 2
        assert "batch_size" not in about["given"]
        (out / "metadata.jsonl").unlink()
        assert main(line) == 0  # continued, perhaps where 8 fit
        assert seen == drawn
        assert read_toml(out / "seediff.toml") == about
        assert main([*line, "--batch-size", "8"]) == 2
        assert "batch_size: 2 → 8" in capsys.readouterr().err


def test_a_run_that_goes_on_with_another_kind_of_gpu_says_so(tmp_path):
    out, said = tmp_path / "out", []

    class On(Engine):
        def __init__(self, gpu):
            super().__init__()
            self.gpu = gpu

        def load(self, job):
            return super().load(job)._replace(loaded=Loaded("0123", self.gpu))

    interrupt_after(1, CONFIG, out, draw=fake_draw, engine=On("a 4090"))
    for gpu, config in (
        ("a 4090", CONFIG),
        ("an H200", replace(CONFIG, per_class=8)),
        ("", replace(CONFIG, per_class=9)),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            generate(config, out, draw=fake_draw, engine=On(gpu))
        said += [str(warning.message) for warning in caught if warning.category is Notice]
        assert read_toml(out / "seediff.toml")["gpu"] == "a 4090"
    assert said == [f"{out}: was started on another GPU (a 4090 → an H200), which rounds differently"]
