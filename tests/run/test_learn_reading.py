"""`tune --read` and `--reading`: from ten scenes to a file, and masks with it; pictures without anything to learn are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import runner
from PIL import Image

from seediff.attention import photograph
from seediff.attention.maps import AttentionMaps
from seediff.attention.photograph import capture_classes, encode_images
from seediff.attention.windows import Window, cut
from seediff.cli.tune import tune
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.photographs import MaskPhotosConfig
from seediff.config.presets import Recommended
from seediff.dataset import native
from seediff.errors import UserError
from seediff.evaluate.layouts import open_evaluation
from seediff.files.photographs import find_photos
from seediff.look.samples import open_subject
from seediff.look.session import Session
from seediff.masks.reading import About, Reading
from seediff.mini.scenes import load_scenes, write_scenes_as_dataset
from seediff.models.registry import load_model
from seediff.run import reading
from seediff.run.mask import mask_photos
from seediff.run.reading import Gain, Learnt, Lesson, learn_reading, means_of, validated
from seediff.run.tune import countable
from seediff.segments.naming import split_prompts

run = runner(tune)
NAMES = ["cross.a", "cross.b"]


def lessons(count: int, *, telling: bool) -> list[Lesson]:
    """Squares that layer a shows, or noise; layer b is noise. The usual method gets an IoU of 0.5."""
    draw = torch.Generator().manual_seed(1)
    made = []
    for index in range(count):
        labels = np.zeros((8, 8), np.uint8)
        labels[index % 4 : index % 4 + 4, 2:6] = 1
        share = torch.from_numpy(labels).float()[None]
        maps = torch.rand(1, 4, 8, 8, generator=draw)
        maps[:, 2:] = 0
        if telling:
            maps[:, 0] = 0.2 * maps[:, 0] + 0.6 * share
        image = np.zeros((8, 8, 3), np.uint8)
        name = ("dog", "cat")[index % 2]
        made.append(Lesson(image, (name,), maps, share, torch.ones(8, 8), labels, np.array([0.5])))
    return made


def test_the_layer_that_tells_gets_the_weight() -> None:
    learnt = validated(lessons(20, telling=True), NAMES, MaskConfig(reading="", pamr=False))
    own, other = learnt.reading.weights[0].abs().tolist()
    assert own > 5 * other
    assert learnt.gain.iou > 0.95
    assert learnt.unseen is not None
    assert learnt.unseen.iou > 0.95
    assert learnt.classes == ("cat", "dog")


def test_what_gains_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="gains nothing"):
        validated(lessons(20, telling=False), NAMES, MaskConfig(reading="", pamr=False))


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_the_usual_method_gets_the_means_of_its_capture(mean) -> None:
    model, capture = load_model("mini"), CaptureConfig(normalize=False, mean=mean, apart=True)
    latents = encode_images(model, [load_scenes("tune", 1)[0].image])
    (maps,) = capture_classes(model, latents, [[("a dog", ("dog",))]], timesteps=(300,), seed=0, capture=capture, indices=[0])
    means = means_of(maps, model, capture)
    for grid, expected in maps.cross_attention.items():
        torch.testing.assert_close(means.cross_attention[grid], expected)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 scenes with attention of another size than the model's, with layers apart; new masks of the last two, which nobody accepted."""
    out = tmp_path_factory.mktemp("kept") / "scenes"
    scenes, model = load_scenes("tune", 12), load_model("mini")
    write_scenes_as_dataset(out, scenes, {})
    (out / native.ATTENTION).mkdir()
    for number, scene in enumerate(scenes):
        image = cut(scene.image, Window(0, 0, *scene.image.shape[:2]), (64, 64))
        sentences = [split_prompts(model.readers, scene.classes)]
        capture = CaptureConfig(apart=True, layers="all")
        found = capture_classes(model, encode_images(model, [image]), sentences, timesteps=(300,), seed=0, capture=capture, indices=[0])
        found[0].save(out / f"attention/{number:06d}.safetensors")
    session = Session(open_subject(out), by="ann")
    for number in range(10):
        session.act(number, 0, "accept", verdict="accepted")
    for number in (10, 11):
        session.act(number, 0, "made", labels=np.roll(session.labels(number), 20))
    session.close()
    return out


def spied(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[int], list[Lesson]]:
    """The pictures that are used, the sides of those whose attention is captured, and the lessons, from now on. Nothing is learnt."""
    used, captured, learnt = list[str](), list[int](), list[Lesson]()
    see, encode = reading.see_labelled, photograph.encode_images
    empty = Learnt(Reading(About(("cross.a",)), torch.ones(2, 1), 0.0), Gain(1.0, 0.0, 0.0, 0.0), None, 0, (), ())
    monkeypatch.setattr(reading, "see_labelled", lambda *args: used.append(args[1].name) or see(*args))
    monkeypatch.setattr(photograph, "encode_images", lambda *args: captured.extend(len(image) for image in args[1]) or encode(*args))
    monkeypatch.setattr(reading, "validated", lambda lessons, *rest: learnt.extend(lessons) or empty)
    return used, captured, learnt


def learnt_from(out: Path, **options: Any) -> Learnt:
    model, data = load_model("mini"), open_evaluation(out)
    usual = Recommended(MaskConfig(pamr_dilations=(1, 2, 4, 8)), CaptureConfig(), tuned=False)
    return learn_reading(model, data, countable(data, model.known_words), usual, count=50, **options)


def test_saved_attention_of_any_size_and_masks_that_a_person_looked_at(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used, captured, _ = spied(monkeypatch)
    learnt = learnt_from(kept)
    assert used == [f"{number:06d}" for number in range(10)]
    assert (captured, learnt.unused) == ([], {})


def test_saved_attention_that_cannot_be_used_is_told(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    out = shutil.copytree(kept, tmp_path / "scenes")
    for number, change in enumerate(
        [
            {"words": {"whale": (1,)}},
            {"cross_layers": {}, "self_layers": {}},
            {"cross_layers": {(8, 8): {"elsewhere": torch.zeros(64, 40)}}},
        ]
    ):
        path = out / f"attention/{number:06d}.safetensors"
        replace(AttentionMaps.load(path), **change).save(path)
    _, captured, _ = spied(monkeypatch)
    learnt = learnt_from(out)
    assert captured == [128] * 3
    assert learnt.unused == dict.fromkeys(
        ("knows only other classes", "has no layers apart (--capture-apart)", "is of another model's layers"), 1
    )
    assert learnt_from(out, size=96).unused["is of another size"] == 8
    run("tune", out, "--read", "--out", tmp_path / "own.safetensors")
    assert "captured anew for 1 picture: the saved attention is of another model's layers\n" in capsys.readouterr().err


def test_saved_attention_of_a_part_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = load_scenes("tune", 1)[0]
    Image.fromarray(np.pad(scene.image, ((0, 0), (40, 40), (0, 0)))).save(tmp_path / "photo.png")
    capture = CaptureConfig(apart=True, layers="all")
    config = MaskPhotosConfig(
        classes=scene.classes, model="mini", presence=0.0, fit="crop", keep_attention=True, timesteps=(300,), capture=capture
    )
    mask_photos(config, find_photos([tmp_path / "photo.png"]), tmp_path / "masked")
    truth = np.pad(np.where(scene.label_map == 1, np.uint8(1), np.uint8(0)), ((0, 0), (40, 40)), constant_values=1)
    (tmp_path / "masked/masks/000000.png").write_bytes(native.encode_mask(truth))
    monkeypatch.setattr(reading, "LEAST", 1)
    _, captured, lessons = spied(monkeypatch)
    learnt_from(tmp_path / "masked")
    assert captured == []
    np.testing.assert_array_equal(lessons[0].image, scene.image)
    np.testing.assert_array_equal(lessons[0].labels > 0, scene.label_map == 1)


def test_from_scenes_to_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few pictures are refused, and nothing is written. Ten make a file; masks with it are the same twice, and need all layers."""
    out = tmp_path / "own.safetensors"
    scenes = load_scenes("tune", 10)
    write_scenes_as_dataset(tmp_path / "scenes", scenes, {})
    with pytest.raises(UserError, match="at least 10"):
        run("tune", tmp_path / "scenes", "--read", "--count", "2", "--out", out)
    with pytest.raises(UserError, match="size = 4096 must be at most"):
        run("tune", tmp_path / "scenes", "--read", "--size", "4096", "--out", out)
    assert not out.exists()

    model, data = load_model("mini"), open_evaluation(tmp_path / "scenes")
    papers = Recommended(MaskConfig(pamr_dilations=(1, 2, 4, 8)), CaptureConfig(), tuned=False)
    learn_reading(model, data, countable(data, model.known_words), papers, count=10).reading.save(out)
    Image.fromarray(scenes[0].image).save(tmp_path / "photo.png")
    masks = []
    for folder in ("one", "two"):
        config = MaskPhotosConfig.recommended(classes=scenes[0].classes, presence=0.0, mask={"reading": str(out)})
        result = mask_photos(config, find_photos([tmp_path / "photo.png"]), tmp_path / folder)
        assert result.made == 1
        masks.append((tmp_path / folder / "masks" / "000000.png").read_bytes())
    assert masks[0] == masks[1]
    assert (config.capture.apart, config.source("capture.apart")) == (True, "the reading")

    Reading(About(("cross.elsewhere",)), torch.ones(2, 1), 0.0).save(tmp_path / "other.safetensors")
    config = MaskPhotosConfig.recommended(classes=("dog",), mask={"reading": str(tmp_path / "other.safetensors")})
    monkeypatch.setattr("seediff.models.registry.load_model", lambda *args, **options: pytest.fail("loaded first"))
    with pytest.raises(UserError, match=r"weighs cross\.elsewhere"):
        mask_photos(config, find_photos([tmp_path / "photo.png"]), tmp_path / "three")
    with pytest.raises(UserError, match="apart"):
        MaskPhotosConfig(classes=("dog",), mask=MaskConfig(reading=str(out)))
