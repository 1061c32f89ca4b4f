import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import user_error
from shapes import CLASSES, items, scene, small

from seediff.config.train import TrainConfig
from seediff.train.predict import load_segmenter
from seediff.train.record import step_numbers
from seediff.train.run import learning_rate_at, train
from seediff.train.stages import Stage
from seediff.train.views import losses_csv

FAST = small(architecture="segformer")


def stage(steps=2, **given):
    return Stage(items(6), CLASSES, steps=steps, **given)


@pytest.mark.parametrize("architecture", [pytest.param("mask2former", marks=pytest.mark.slow), "segformer"])
def test_learns_background_and_classes(tmp_path, architecture):
    config = small(architecture=architecture, learning_rate=3e-3, jitter=0.0, scale=(1.0, 1.0), warmup=0, clip=1.0)
    result = train(config, [Stage(items(8), CLASSES, steps=20)], tmp_path / "out", workers=0)
    assert math.isnan(result.miou)
    segmenter = load_segmenter(tmp_path / "out")
    assert segmenter.classes == CLASSES
    pairs = [scene(i) for i in range(8)]
    found = segmenter.label_maps([image for image, _ in pairs])
    labels = np.stack([labels for _, labels in pairs])
    right = labels == found
    assert right[labels == 0].mean() > 0.9
    assert right[(labels == 1) | (labels == 2)].mean() > 0.5
    rows = list(csv.DictReader((tmp_path / "out" / "losses.csv").open()))
    assert float(rows[-1]["loss"]) < 0.6 * float(rows[0]["loss"])
    assert bool(rows[0]["mask"]) == (architecture == "mask2former")


def test_finished_is_left_alone(tmp_path):
    out, numbers = tmp_path / "out", torch.get_rng_state()
    held = {"validation": items(2, first=9), "workers": 0}
    first = train(FAST, [stage()], out, **held)
    assert torch.equal(torch.get_rng_state(), numbers)  # a script's own random numbers
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = train(FAST, [stage()], out, **held)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert again == replace(first, seconds=0, images_per_second=0)
    for config, stages, says in (
        (replace(FAST, seed=1), [stage()], "seed: 0 → 1"),
        (FAST, [stage(steps=3)], "steps of stage 'train': 2 → 3"),
        (FAST, [stage(), stage(name="finetune")], "steps of stage 'finetune': null → 2"),
        (FAST, [Stage(items(6), ("square", "circle"), steps=2)], "classes of stage 'train': "),
    ):
        with user_error(f"{says}.*choose another folder"):
            train(config, stages, out)
    (out / "training.json").unlink()
    with user_error("holds a training that is damaged.*training.json"):
        train(FAST, [stage()], out, **held)


def renamed(samples, **changes):
    """The samples with the names that every generated set has, and other changes."""
    return [sample.replace(name=f"{i:06d}", **changes) for i, sample in enumerate(samples)]


def test_other_data_of_the_same_names_and_number_is_refused(tmp_path):
    first, validation = renamed(items(4)), renamed(items(2, first=9))
    train(FAST, [Stage(first, CLASSES, steps=1)], tmp_path, validation=validation, workers=0)
    corrected = [first[0].replace(label_map=first[0].label_map.clip(2)), *first[1:]]
    for data, held, says in (
        (renamed(items(4, first=20)), validation, "samples and masks of stage 'train': "),
        (corrected, validation, "samples and masks of stage 'train': "),
        (first, renamed(items(2, first=11)), "samples and masks of validation: "),
    ):
        with user_error(says):
            train(FAST, [Stage(data, CLASSES, steps=1)], tmp_path, validation=held, workers=0)
    verdict = {"review": {"verdict": "accepted", "corrected": False, "by": "me"}}  # changes nothing that is learnt
    accepted = [Stage(renamed(first, row=verdict), CLASSES, steps=1)]
    assert train(FAST, accepted, tmp_path, validation=validation, workers=0).seconds == 0


@pytest.mark.slow
def test_weights_of_another_training(tmp_path):
    train(small(), [stage()], tmp_path / "a", workers=0)
    train(small(weights=str(tmp_path / "a"), learning_rate=1e-9), [stage()], tmp_path / "b", workers=0)
    a, b = (load_segmenter(tmp_path / name) for name in "ab")
    image = scene(3)[0]
    assert np.array_equal(a.label_maps([image])[0], b.label_maps([image])[0])
    # With other classes, all but the class head is taken.
    other = Stage(items(4), ("square", "disc", "star"), steps=1)
    train(small(weights=str(tmp_path / "a"), learning_rate=1e-9), [other], tmp_path / "c", workers=0)
    c = load_segmenter(tmp_path / "c")
    assert c.classes == ("square", "disc", "star")
    name = "model.pixel_level_module.encoder.encoder.stages.0.layers.0.layer.0.convolution.weight"
    torch.testing.assert_close(c.network.state_dict()[name], a.network.state_dict()[name], atol=1e-6, rtol=1e-5)
    with user_error("must be a folder or a hub id"):
        train(small(weights=str(tmp_path / "missing")), [stage()], tmp_path / "d")


def test_data_that_cannot_be_trained_on(tmp_path):
    blank = items(1)[0].replace(label_map=np.zeros((64, 64), np.uint8))
    with user_error("none of its 1 label maps shows a class"):
        train(FAST, [Stage([blank], CLASSES, steps=1)], tmp_path)
    with user_error("sample 's0': id 9"):
        train(FAST, [stage()], tmp_path, validation=[blank.replace(label_map=blank.label_map + 9)])


def test_loss_that_is_no_number(tmp_path):
    with user_error("lower learning_rate"):
        config = small(learning_rate=0.9, clip=0, warmup=0, architecture="segformer", weight_decay=1e9)
        train(config, [stage(steps=20)], tmp_path / "x", workers=0)


def test_schedules():
    poly = TrainConfig(schedule="poly", warmup=4)
    assert learning_rate_at(0, 100, poly) == pytest.approx(0.25)
    assert learning_rate_at(50, 100, poly) == pytest.approx(0.5**0.9)
    step = TrainConfig(schedule="step")
    assert [learning_rate_at(s, 100, step) for s in (0, 89, 90, 95)] == pytest.approx([1, 1, 0.1, 0.01])


def test_the_rows_of_losses():
    """Empty cells for losses that a network lacks, and for steps without validation."""
    three = {"class": 1.0, "mask": 2.0, "dice": 0.5}
    numbers = [step_numbers(1e-3 / 3, three, 7.0, miou) for miou in (None, 0.25)]
    numbers.append(step_numbers(1e-3, {"class": 4.0}, 1.0, None))
    stages = [stage(), stage(name="finetune")]
    assert losses_csv(np.array(numbers), stages, 4).decode() == (
        "step,stage,learning_rate,class,mask,dice,auxiliary,loss,gradient_norm,miou\n"
        "1,train,0.000333333,1,2,0.5,,3.5,7,\n"
        "2,train,0.000333333,1,2,0.5,,3.5,7,0.2500\n"
        "3,finetune,0.001,4,,,,4,1,\n"
    )
