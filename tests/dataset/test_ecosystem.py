"""Datasets as other libraries' own types: supervision's detections, Hugging Face's tables, and what transformers'
processors take.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from blocks import blocks
from items import item
from PIL import Image

from seediff import Dataset, Sample, UserError
from seediff.dataset.encoding import Instances, encode_image
from seediff.dataset.torch_samples import object_target

CLASSES = ("cat", "dog", "cow")
SHAPES = ((20, 30), (30, 20))


def pets():
    """Wide and high by turns, the second without a class."""
    maps = [blocks(i, 3, SHAPES[i % 2]) for i in range(4)]
    maps[0][:3, :4] = 255
    maps[1][:] = 0
    return Dataset(
        CLASSES,
        [item(f"trip/{i}", maps[i], {"prompt": f"é {i}"}, SHAPES[i % 2], ("png", "jpg")[i % 2]) for i in range(4)],
    )


def objects():
    """Two dogs that touch and a cat, of which one pixel is ignored; object 2 has no pixel."""
    numbers = np.zeros((20, 30), np.uint16)
    numbers[2:5, 2:5], numbers[5:9, 2:5], numbers[10:12, 10:20] = 1, 3, 300
    class_ids = (2, 3, 2, *[3] * 296, 1)
    labels = np.array([0, *class_ids], np.uint8)[numbers]
    labels[10, 10] = 255
    return Dataset(CLASSES, [item("a", labels, {}, (20, 30)).replace(instances=Instances(numbers, class_ids))])


def test_supervision_gets_a_detection_of_each_class():
    pytest.importorskip("supervision", reason="supervision is not installed")
    given = pets()
    detected = given.as_supervision()
    assert len(detected) == 4
    for (picture, detections), sample in zip(detected, given, strict=True):
        labels = sample.label_map
        assert np.array_equal(np.asarray(picture), sample.image)
        shown = [number for number in np.unique(labels).tolist() if 0 < number < 255]
        assert detections.class_id.tolist() == [number - 1 for number in shown]
        assert detections.data["class_name"].tolist() == [CLASSES[number - 1] for number in shown]
        assert detections.mask.shape == (len(shown), *labels.shape)
        assert detections.mask.dtype == bool
        for number, mask, box in zip(shown, detections.mask, detections.xyxy.tolist(), strict=True):
            rows, columns = np.nonzero(labels == number)
            assert np.array_equal(mask, labels == number)
            assert box == [columns.min(), rows.min(), columns.max(), rows.max()]
    assert len(detected[1][1]) == 0
    assert [len(detections) for _, detections in detected[1:3]] == [0, len(detected[2][1])]


def test_supervision_gets_a_detection_of_each_object():
    pytest.importorskip("supervision", reason="supervision is not installed")
    ((_, detections),) = objects().as_supervision()
    assert detections.data["class_name"].tolist() == ["cat", "dog", "dog"]
    assert detections.area.tolist() == [19, 9, 12]  # without the ignored pixel
    assert detections.xyxy.tolist() == [[10, 10, 19, 11], [2, 2, 4, 4], [2, 5, 4, 8]]


def test_supervision_gets_the_objects_of_torch():
    """Where the label map has their class."""
    pytest.importorskip("supervision", reason="supervision is not installed")
    (given,) = objects()
    labels = given.label_map.copy()
    labels[2:5, 2] = 0
    given = given.replace(label_map=labels)
    ((_, detections),) = Dataset(CLASSES, [given]).as_supervision()
    target = object_target(given, labels)
    assert np.array_equal(detections.mask, target["masks"].numpy())
    assert detections.area.tolist() == [19, 12, 9 - 3]


def test_supervision_draws_them_and_makes_its_own_dataset(tmp_path):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    pets().save(tmp_path / "pets")
    given = Dataset.open(tmp_path / "pets")
    picture, detections = given.as_supervision()[0]
    drawn = supervision.MaskAnnotator(opacity=1).annotate(picture.copy(), detections)
    changed = (np.asarray(drawn) != np.asarray(picture)).any(axis=2)
    assert not (changed & ~detections.mask.any(axis=0)).any()
    assert changed.any()
    annotations = {str(sample.source): each for sample, (_, each) in zip(given, given.as_supervision(), strict=True)}
    theirs = supervision.DetectionDataset(list(given.classes), list(annotations), annotations)
    assert [len(each) for _, _, each in theirs] == [len(each) for _, each in given.as_supervision()]


@pytest.mark.parametrize(
    ("class_ids", "message"), [((1,), "has an object 2"), ((1, 4), "class id 4 of an object, but there are 3")]
)
def test_objects_of_no_class_are_refused(class_ids, message):
    pytest.importorskip("supervision", reason="supervision is not installed")
    numbers = np.repeat(np.arange(3, dtype=np.uint16), 2)[None].repeat(4, axis=0)
    sample = item("a", (numbers > 0).astype(np.uint8), {}, (4, 6)).replace(instances=Instances(numbers, class_ids))
    with pytest.raises(UserError, match=f"sample 'a': {message}"):
        Dataset(CLASSES, [sample]).as_supervision()[0]


def test_supervision_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match="as_supervision: needs supervision: pip install supervision"):
        pets().as_supervision()


@pytest.mark.parametrize("on_disk", [True, False])
def test_datasets_get_every_column(tmp_path, on_disk):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    given = pets()
    if on_disk:
        given.save(tmp_path / "pets")
        given = Dataset.open(tmp_path / "pets")
    table = given.as_datasets()
    assert isinstance(table, datasets.Dataset)
    assert table.features["class_ids"].feature.names == ["background", *CLASSES]
    for row, sample in zip(table, given, strict=True):
        assert np.array_equal(np.asarray(row["image"].convert("RGB")), sample.image)
        assert np.array_equal(np.asarray(row["label_map"]), sample.label_map)
        assert row["class_ids"] == [number for number in np.unique(sample.label_map).tolist() if 0 < number < 255]
        assert row["name"] == sample.name
        metadata = json.loads(row["metadata"])
        assert metadata["prompt"] == sample.metadata["prompt"]
        assert metadata["classes"] == table.features["class_ids"].feature.int2str(row["class_ids"])
    stored = table.cast_column("image", datasets.Image(decode=False))[0]["image"]
    assert (stored["bytes"] is None) == on_disk, "pictures in files stay there"


def test_a_table_goes_to_parquet_and_back(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    given = pets()
    given.as_datasets().to_parquet(tmp_path / "pets.parquet")
    again = datasets.Dataset.from_parquet(str(tmp_path / "pets.parquet"), cache_dir=str(tmp_path / "cache"))
    assert again.features == given.as_datasets().features
    assert [
        np.array_equal(np.asarray(row["label_map"]), sample.label_map) for row, sample in zip(again, given, strict=True)
    ] == [True] * 4


def test_a_set_without_samples_keeps_its_columns():
    pytest.importorskip("datasets", reason="datasets is not installed")
    table = pets()[:0].as_datasets()
    assert (len(table), table.column_names) == (0, ["image", "label_map", "class_ids", "name", "metadata"])


def test_a_picture_that_datasets_would_turn_stays_on_its_label_map(tmp_path):
    pytest.importorskip("datasets", reason="datasets is not installed")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(tmp_path / "turned.jpg", exif=exif)
    sample = Sample(tmp_path / "turned.jpg", np.zeros((20, 30), np.uint8), name="turned")
    (row,) = Dataset(CLASSES, [sample]).as_datasets()
    assert np.array_equal(np.asarray(row["image"]), sample.image)


def test_a_sample_that_cannot_be_used_is_named():
    pytest.importorskip("datasets", reason="datasets is not installed")
    wrong = Sample(encode_image(np.zeros((4, 6, 3), np.uint8), "png"), np.full((4, 6), 4, np.uint8), name="b")
    with pytest.raises(UserError, match="sample 'b': id 4 in its label map, but there are 3 classes"):
        Dataset(CLASSES, [*pets(), wrong]).as_datasets()


def test_a_processor_of_segformer_takes_samples():
    from transformers import SegformerImageProcessorPil

    samples = pets()[::2]
    processor = SegformerImageProcessorPil(size={"height": 20, "width": 30})
    images, maps = [sample.image for sample in samples], [sample.label_map for sample in samples]
    batch = processor(images=images, segmentation_maps=maps, return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 3, 20, 30)
    assert np.array_equal(batch["labels"].numpy(), np.stack(maps))
    mean, std = np.array(processor.image_mean), np.array(processor.image_std)
    expected = ((images[0] / 255 - mean) / std).transpose(2, 0, 1)
    assert np.abs(batch["pixel_values"][0].numpy() - expected).max() < 1e-5


def test_a_processor_of_mask2former_takes_samples_and_objects():
    from transformers import Mask2FormerImageProcessorPil

    processor = Mask2FormerImageProcessorPil(do_resize=False, ignore_index=255)
    sample = pets()[0]
    batch = processor(images=[sample.image], segmentation_maps=[sample.label_map], return_tensors="pt")
    masks, ids = batch["mask_labels"][0].numpy()[:, :20, :30], batch["class_labels"][0].tolist()
    assert ids == [number for number in np.unique(sample.label_map).tolist() if number != 255]
    assert all(np.array_equal(mask == 1, sample.label_map == number) for mask, number in zip(masks, ids, strict=True))

    sample = objects()[0]
    classes = dict(enumerate(sample.instances.class_ids, 1))
    processor = Mask2FormerImageProcessorPil(do_resize=False, ignore_index=0)
    batch = processor(
        images=[sample.image],
        segmentation_maps=[sample.instances.numbers],
        instance_id_to_semantic_id=classes,
        return_tensors="pt",
    )
    assert batch["class_labels"][0].tolist() == [2, 2, 1]
    assert batch["mask_labels"][0].sum((1, 2)).tolist() == [9, 12, 20]
