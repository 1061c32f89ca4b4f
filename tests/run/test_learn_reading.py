"""`tune --read` and `--reading`: from ten scenes to a file, and masks with it; pictures without anything to learn are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import runner
from PIL import Image

from seediff.attention.photograph import capture_classes, encode_images
from seediff.cli.tune import tune
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.photographs import MaskPhotosConfig
from seediff.config.presets import Recommended
from seediff.errors import UserError
from seediff.evaluate.layouts import open_evaluation
from seediff.files.photographs import find_photos
from seediff.masks.reading import About, Reading
from seediff.mini.scenes import load_scenes, write_scenes_as_dataset
from seediff.models.registry import load_model
from seediff.run.mask import mask_photos
from seediff.run.reading import Lesson, learn_reading, means_of, validated
from seediff.run.tune import countable

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
