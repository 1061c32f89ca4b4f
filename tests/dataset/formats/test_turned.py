"""A picture that some readers would turn lies on its label map in every format, for readers of both kinds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from formats import EVERY, export, imported, needs
from items import item
from PIL import Image, ImageOps

from seediff import Dataset, Sample

CLASSES = ("cat", "dog")


def turned(path: Path) -> Sample:
    """A JPEG file with EXIF orientation 6: as it is stored 20 × 30, turned 30 × 20."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    labels = np.zeros((20, 30), np.uint8)
    labels[2:12, 3:20] = 1
    return Sample(path, labels, metadata={"classes": ["cat"]}, name="turned")


def check(samples: list[Sample], given: list[Sample]) -> None:
    found = {sample.name: sample.source if isinstance(sample.source, bytes) else sample.source.read_bytes() for sample in samples}
    for sample in given:
        with Image.open(io.BytesIO(found[sample.name])) as picture:
            assert np.array_equal(np.asarray(ImageOps.exif_transpose(picture)), sample.image)
    assert found["plain"] == given[1].source


@pytest.mark.parametrize("name", EVERY)
def test_every_format(tmp_path, name):
    needs(name)
    given = [turned(tmp_path / "turned.jpg"), item("plain", np.ones((20, 30), np.uint8), {}, (20, 30), "jpg")]
    export(name, CLASSES, given, tmp_path / "out", **({"link": True} if name not in ("parquet", "webdataset") else {}))
    check(imported(name, tmp_path / "out")[1], given)


def test_the_native_folder(tmp_path):
    given = [turned(tmp_path / "turned.jpg"), item("plain", np.ones((20, 30), np.uint8), {}, (20, 30), "jpg")]
    Dataset(CLASSES, given).save(tmp_path / "out", link=True)
    check(list(Dataset.open(tmp_path / "out")), given)
    assert given[0].source.read_bytes() != (tmp_path / "out/images/turned.jpg").read_bytes()
