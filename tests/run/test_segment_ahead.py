"""Overlays and files of segments made beside the next batch: the same bytes, also when it is stopped, and failures with their own line."""

import threading

import pytest
from interrupted import check_interrupted, contents
from patience import PATIENCE
from photo_set import write_photos
from PIL import Image

from seediff.config.constants import SegmentConfig
from seediff.config.photographs import SegmentPhotosConfig
from seediff.errors import UserError
from seediff.files.photographs import Photo, find_photos
from seediff.run import segment as segment_module
from seediff.run.loop import Local
from seediff.run.segment import SegmentJob, segment_photos


@pytest.fixture(scope="module")
def config(mini_folder) -> SegmentPhotosConfig:
    """Three batches, of two photographs each, with names."""
    segment = SegmentConfig(kl_threshold=0.3, num_points=8)
    return SegmentPhotosConfig(model=str(mini_folder), segment=segment, names=("dog",), batch_size=2, device="cpu", threads=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Photo, ...]:
    """One of them cannot be read."""
    folder = write_photos(tmp_path_factory.mktemp("photos") / "in")
    (folder / "1.jpg").write_text("no picture")
    return tuple(find_photos([folder]).photos)


@pytest.fixture(scope="module")
def inline(tmp_path_factory, config, photos) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("inline") / "out"
    segment_photos(config, photos, out, engine=Local(ahead=0))
    return contents(out)


@pytest.mark.parametrize("ahead", [1, 3])
def test_the_same_bytes(tmp_path, config, photos, inline, ahead):
    result = segment_photos(config, photos, tmp_path / "out", engine=Local(ahead=ahead))
    assert contents(tmp_path / "out") == inline
    assert (result.done, len(result.rows), len(result.failed)) == (6, 5, 1)
    assert {"reading", "segmenting", "naming", "writing"} <= set(result.seconds)


def test_stopped_at_writes_and_continued(tmp_path, config, photos, inline, monkeypatch):
    check_interrupted(lambda out: segment_photos(config, photos, out, engine=Local(ahead=1)), tmp_path, monkeypatch, (1, 6, 13))
    assert contents(tmp_path / "whole") == inline


def test_the_next_batch_is_begun_while_files_are_made(tmp_path, config, photos, inline, monkeypatch):
    """The files of the first batch wait until the second one's names are found: one after the other, nobody would come."""
    second, real, makers = threading.Event(), SegmentJob.names, set()

    def names(self, photo, segments):
        if photo.spec.photo.name == "2":
            second.set()
        return real(self, photo, segments)

    def files(*given, **more):
        assert second.wait(PATIENCE)
        makers.add(threading.current_thread().name)
        return made(*given, **more)

    made = segment_module.photo_files
    monkeypatch.setattr(SegmentJob, "names", names)
    monkeypatch.setattr(segment_module, "photo_files", files)
    segment_photos(config, photos, tmp_path / "out", engine=Local(ahead=1))
    assert {name.partition("_")[0] for name in makers} == {"writing"}
    assert contents(tmp_path / "out") == inline


@pytest.mark.parametrize("ahead", [0, 1])
def test_an_error_of_the_writer_stops_the_run_with_its_own_line(tmp_path, config, photos, monkeypatch, ahead):
    begun, real = [], SegmentJob.capture

    def capture(self, batch):
        begun.append(batch[0].photo.name)
        return real(self, batch)

    def files(*_, **__):
        raise UserError("labels/0.png: the disk is full")

    monkeypatch.setattr(SegmentJob, "capture", capture)
    monkeypatch.setattr(segment_module, "photo_files", files)
    with pytest.raises(UserError, match=r"^labels/0.png: the disk is full$"):
        segment_photos(config, photos, tmp_path / "out", engine=Local(ahead=ahead))
    assert len(begun) <= 1 + ahead < 3  # of three batches
    assert not [one for one in threading.enumerate() if one.name.startswith("writing")]


def test_what_is_being_written_is_finished_when_the_model_fails(tmp_path, config, photos, inline, monkeypatch):
    real = SegmentJob.names

    def names(self, photo, segments):
        if photo.spec.photo.name == "3":
            raise MemoryError
        return real(self, photo, segments)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentJob, "names", names)
        with pytest.raises(MemoryError):
            segment_photos(config, photos, tmp_path / "out", engine=Local(ahead=1))
    with Image.open(tmp_path / "out" / "labels" / "0.png") as label_map:
        label_map.load()
    segment_photos(config, photos, tmp_path / "out", engine=Local(ahead=1))
    assert contents(tmp_path / "out") == inline


def test_nothing_runs_beside_on_a_cpu(tmp_path, config, photos, monkeypatch):
    """There the same cores would do both."""
    makers, made = set(), segment_module.photo_files

    def files(*given, **more):
        makers.add(threading.current_thread())
        return made(*given, **more)

    monkeypatch.setattr(segment_module, "photo_files", files)
    segment_photos(config, photos, tmp_path / "out")
    assert makers == {threading.current_thread()}
