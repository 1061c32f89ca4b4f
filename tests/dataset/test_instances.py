import re
from contextlib import nullcontext
from itertools import product

import numpy as np
import pytest
from formats import EVERY, LOSSY, export, imported
from items import rows_of, write_rows
from PIL import Image
from refusals import user_error

from seediff.config.sets import AugmentConfig
from seediff.dataset.augmented import RANDOM, open_augmented, write_augmented
from seediff.dataset.check import check_dataset
from seediff.dataset.dataset import Dataset
from seediff.dataset.formats.format_table import FORMATS
from seediff.dataset.importing import import_set
from seediff.dataset.sample import Sample
from seediff.dataset.shapes.objects import Objects, find_objects

CLASSES = ("dog", "cat")
SIZE = (24, 30)


def pairs():
    """Two dogs that touch and a cat, of two pieces but for the second picture; the first has pixels of a cat that are
    in no object.
    """
    samples = []
    for number in range(3):
        numbers = np.zeros(SIZE, np.uint16)
        numbers[4:14, 2:9], numbers[5:18, 9:16] = 2, 3
        numbers[16:22, 20:26] = 1
        if number != 1:
            numbers[2:5, 22:27] = 1
        instances = Objects(numbers, (2, 1, 1), (0.25, 0.75, 0.5))
        labels = instances.label_map()
        labels[0, :4] = 255
        labels[20:22, 2:5] = 2 * (number == 0)
        image = np.random.default_rng(number).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        samples.append(Sample(image, labels, instances, {"split": "train"}, name=f"p{number}"))
    return samples


def objects_of(sample):
    """Class and pixels of each object."""
    instances = sample.instances
    return {(class_id, (instances.numbers == i).tobytes()) for i, class_id in enumerate(instances.class_ids, 1)}


WITH_OBJECTS = [name for name in EVERY if name not in LOSSY]
ROUND_TRIPS = [
    (name, options)
    for name, options in product(WITH_OBJECTS, ({"polygons": True}, {}))
    if options.keys() <= {*FORMATS[name].writes} and FORMATS[name].objects
]
PIECES = ("coco",)
"""Formats in which the pieces of a class are objects if the set knows no others."""


@pytest.mark.parametrize(("name", "out"), ROUND_TRIPS)
def test_objects_come_back(tmp_path, name, out):
    export(name, CLASSES, pairs(), tmp_path / "set", **out)
    classes, samples = imported(name, tmp_path / "set")
    assert classes == CLASSES
    for sample, truth in zip(sorted(samples, key=lambda sample: sample.name), pairs(), strict=True):
        assert np.array_equal(sample.label_map, truth.label_map)
        # Masks of tools do not say that they are no objects: the first picture's lone pixels become one.
        more = name not in ("coco",) and truth.name == "p0"
        assert objects_of(sample) >= objects_of(truth)
        assert len(objects_of(sample)) == len(objects_of(truth)) + more
    Dataset(CLASSES, pairs()).save(tmp_path / "own")
    done = import_set(name, tmp_path / "set", tmp_path / "again", corrects=tmp_path / "own")
    assert not any(change.divided for change in done.changes)


def test_a_mask_for_each_class_is_no_object(tmp_path):
    plain = [Sample(sample.source, sample.label_map, None, {}, name=sample.name) for sample in pairs()]
    for name in WITH_OBJECTS:
        export(name, CLASSES, plain, tmp_path / name)
        assert all((sample.instances is None) == (name not in PIECES) for sample in imported(name, tmp_path / name)[1])


@pytest.mark.parametrize("operation", [*RANDOM, "splice-2x2"])
def test_augmented_objects_are_where_their_class_is(tmp_path, operation):
    Dataset(CLASSES, pairs()).save(tmp_path / "set")
    config = AugmentConfig(add=(f"{operation}:6",), seed=3)
    write_augmented(open_augmented(config, tmp_path / "set"), tmp_path / "out")
    samples = Dataset.open(tmp_path / "out").samples
    assert len(samples) == 9
    for sample in samples:
        instances, labels = sample.instances, sample.label_map
        known = instances.numbers > 0
        assert np.array_equal(instances.label_map()[known], labels[known])
        assert len(instances.class_ids) == len(np.unique(instances.numbers[known]))
        if operation in ("flip", "noise") and sample.name.startswith("augmented"):
            assert sorted(instances.class_ids) == [1, 1, 2]
            assert sorted(find_objects(labels, known=instances).areas)[1:] == [70, 91]
    counts = [len(sample.instances.class_ids) for sample in samples if sample.name.startswith("augmented")]
    assert operation != "splice-2x2" or counts == [12] * 6


BROKEN = [
    (lambda row, path: path.unlink(), "no such file", "p0.png: no such file"),
    (lambda row, path: row.update(instances=[2, 1], instance_scores=[0.1, 0.2]), *["has an object number 3"] * 2),
    (
        lambda row, path: row.update(instance_scores=[0.1, 0.2]),
        *["its `instances` or `instance_scores` are wrong"] * 2,
    ),
    (
        lambda row, path: row.update(instances=[2, 9, 1]),
        *["they are classes from 1 to 2, as in classes.txt"] * 2,
    ),
    (lambda row, path: Image.fromarray(np.zeros((3, 3), np.uint16)).save(path), "(3, 3)", "(3, 3)"),
]


@pytest.mark.parametrize(("change", "found", "refused"), BROKEN)
def test_a_row_is_held_against_the_file_of_its_objects(tmp_path, change, found, refused):
    """By `check`, and whenever the objects are read."""
    Dataset(CLASSES, pairs()).save(tmp_path / "set")
    rows = rows_of(tmp_path / "set")
    change(rows[0], tmp_path / "set/instances/p0.png")
    write_rows(tmp_path / "set", rows)
    assert found in " ".join(str(finding) for finding in check_dataset(tmp_path / "set").findings)
    with user_error(re.escape(refused)) if refused else nullcontext():
        Dataset.open(tmp_path / "set")[0].objects(pairs()[0].label_map)


@pytest.mark.parametrize(("given", "labels"), [(pairs()[1], [1, 1, 2]), (pairs()[1].replace(instances=None), [1, 2])])
def test_objects_for_detectors(given, labels):
    image, target = Dataset(CLASSES, [given]).as_torch(objects=True)[0]
    assert (image.shape, target["labels"].tolist(), target["masks"].shape) == ((3, *SIZE), labels, (len(labels), *SIZE))
    assert (str(target["boxes"].dtype), target["boxes"][-1].tolist()) == ("torch.float32", [20, 16, 26, 22])
    assert np.array_equal(target["masks"].sum(0).numpy() > 0, given.label_map % 255 > 0)
