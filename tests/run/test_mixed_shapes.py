"""Sets whose pictures are 3:2 and 2:3 by turns, through all that reads or makes sets: shapes and label maps stay what they were."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from blobs import blobs
from command_line import runner
from formats import EVERY, LOSSY, needs
from PIL import Image

from seediff.cli.augment import augment
from seediff.cli.commands import preview
from seediff.cli.formats import export_, import_
from seediff.cli.photos import mask
from seediff.cli.quality import check, filter_
from seediff.cli.sets import merge, split
from seediff.config.augment import OPERATIONS
from seediff.dataset import native, store
from seediff.dataset.augment import splice
from seediff.dataset.formats.known import FORMATS
from seediff.dataset.sample import Sample
from seediff.dataset.store import open_native, write_native
from seediff.report import load_trace

CLASSES = ("dog", "cat", "bus")
SHAPES = ((64, 96), (96, 64))
"""(height, width)."""

run = runner(export_, import_, augment, merge, split, filter_, check, preview, mask)


def written(folder: Path, count: int = 6, first: int = 0) -> Path:
    """A set of pictures with blobs of several classes and ignored pixels, PNG and JPEG, and soft masks of each class."""
    items, rng = [], np.random.default_rng(first)
    for number in range(first, first + count):
        shape = SHAPES[number % 2]
        labels = blobs(number, shape, len(CLASSES), ignore=True)
        image = (rng.integers(0, 60, (*shape, 3)) + labels[..., None] % 4 * 50).astype(np.uint8)
        suffix = ("png", "jpg")[number // 2 % 2]
        picture = native.encode_image(image, suffix)
        items.append(Sample(picture, labels, metadata={"prompt": f"p{number}"}, name=f"{number:06d}"))
    write_native(folder, CLASSES, items, about={})
    (folder / native.SOFT).mkdir()
    for row, one in zip(native.read_rows(folder), items, strict=True):
        for class_id in row["class_ids"]:
            soft = (one.label_map == class_id).astype(np.float32)
            (folder / native.SOFT / f"{one.name}_{class_id}.png").write_bytes(native.encode_soft(soft))
    return folder


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    return written(tmp_path_factory.mktemp("sets") / "pets")


def by_prompt(folder: Path) -> dict[str, Sample]:
    items = {item.metadata["prompt"]: item for item in open_native(folder)[1]}
    for item in items.values():  # a picture and its label map always have one shape
        with Image.open(io.BytesIO(item.data())) as picture:
            assert item.label_map.shape == picture.size[::-1]
    return items


def check_same(folder: Path, before: dict[str, Sample]) -> None:
    """Every sample of a set is one of those before, with its label map and its picture, and has the shape that it had."""
    assert open_native(folder)[0] == CLASSES
    for prompt, item in by_prompt(folder).items():
        np.testing.assert_array_equal(item.label_map, before[prompt].label_map)
        assert item.data() == before[prompt].data()
    run("check", folder, "--quiet")


def test_the_set_is_mixed_and_sound(pets):
    assert [item.label_map.shape for item in open_native(pets)[1]] == [*SHAPES] * 3
    run("check", pets, "--quiet")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("most", [False, True], ids=["plain", "with all options"])
def test_formats_there_and_back(pets, tmp_path, name, most):
    needs(name)
    having = FORMATS[name].options
    options = [f"--{one}" for one in ("objects", "boxes", "panoptic") if most and hasattr(having, one)]
    if most and not options:
        pytest.skip("it has no more options of objects")
    run("export", pets, "--to", name, "--out", tmp_path / "other", "--quiet", *options)
    run("import", tmp_path / "other", "--from", name, "--out", tmp_path / "back", "--quiet")
    before, after = open_native(pets), open_native(tmp_path / "back")
    assert after[0] == CLASSES
    assert len(after[1]) == len(before[1])
    for one, other in zip(sorted(before[1], key=lambda item: item.name), sorted(after[1], key=lambda item: item.name), strict=True):
        found, expected = other.label_map, one.label_map
        assert found.shape == expected.shape
        assert one.data() == other.data()
        if name in LOSSY:  # polygons, which know no 255
            assert np.mean((found == expected)[expected != 255]) > 0.97
        else:
            np.testing.assert_array_equal(found, expected)
    run("check", tmp_path / "back", "--quiet")


def test_polygons_of_coco(pets, tmp_path):
    run("export", pets, "--to", "coco", "--polygons", "--out", tmp_path / "other", "--quiet")
    run("import", tmp_path / "other", "--from", "coco", "--out", tmp_path / "back", "--quiet")
    for one, other in zip(open_native(pets)[1], open_native(tmp_path / "back")[1], strict=True):
        found, expected = other.label_map, one.label_map
        assert found.shape == expected.shape
        assert np.mean((found == expected)[expected != 255]) > 0.97


@pytest.mark.parametrize("fmt", ["cvat", "cvat-masks", "labelstudio"])
def test_corrections_come_back(pets, tmp_path, fmt):
    run("export", pets, "--to", fmt, "--out", tmp_path / "other", "--quiet")
    run("import", tmp_path / "other", "--from", fmt, "--corrects", pets, "--out", tmp_path / "back", "--quiet")
    check_same(tmp_path / "back", by_prompt(pets))


def test_merge(pets, tmp_path):
    more = written(tmp_path / "zoo", 4, first=7)
    run("merge", pets, more, "--out", tmp_path / "animals", "--quiet")
    check_same(tmp_path / "animals", by_prompt(pets) | by_prompt(more))
    assert len(open_native(tmp_path / "animals")[1]) == 10
    for item in open_native(tmp_path / "animals")[1]:
        for (_, class_id), path in item.extras.items():
            assert np.array_equal(np.asarray(Image.open(path)) > 127, item.label_map == class_id)


def test_split(pets, tmp_path):
    run("split", pets, "--val", 0.34, "--out", tmp_path / "parts", "--quiet")
    found = [by_prompt(tmp_path / "parts" / part) for part in ("train", "val")]
    assert set(found[0]) | set(found[1]) == set(by_prompt(pets))
    assert not set(found[0]) & set(found[1])
    for part in ("train", "val"):
        check_same(tmp_path / "parts" / part, by_prompt(pets))


def test_filter(pets, tmp_path):
    run("filter", pets, "--max-components", 40, "--min-confidence", 0.1, "--out", tmp_path / "good", "--quiet")
    check_same(tmp_path / "good", by_prompt(pets))
    assert {item.label_map.shape for item in open_native(tmp_path / "good")[1]} == set(SHAPES)


def test_label_maps_anew_from_soft_masks(pets, tmp_path):
    run("filter", pets, "--ignore-band", "0.4,0.6", "--out", tmp_path / "anew", "--quiet")
    check_same(tmp_path / "anew", by_prompt(pets))  # of soft masks of 0 and 1; what was ignored stays so


def test_every_operation_of_augment(pets, tmp_path):
    """A new sample has the shape of its source; what moves nothing has its label map, and flips are those of its own sides."""
    names = [{"splice-RxC": "splice-2x3"}.get(name, name) for name in OPERATIONS]
    run("augment", pets, *(word for name in names for word in ("--add", f"{name}:4")), "--out", tmp_path / "more", "--quiet")
    originals = {item.name: item.label_map for item in open_native(pets)[1]}
    seen = dict.fromkeys(names, 0)
    for item in open_native(tmp_path / "more")[1]:
        if "recipe" not in item.metadata:
            continue
        ((step),) = item.metadata["recipe"]["steps"]
        name, source, found = step["operation"], originals[item.metadata["recipe"]["source"]], item.label_map
        seen[name] += 1
        with Image.open(io.BytesIO(item.data())) as picture:
            assert found.shape == source.shape == picture.size[::-1]
        expected = {"noise": source, "blur": source, "colour": source, "flip": source[:, ::-1], "flip-vertical": source[::-1]}.get(name)
        if expected is not None:
            np.testing.assert_array_equal(found, expected)
    assert set(seen.values()) == {4}
    run("check", tmp_path / "more", "--quiet")
    run("preview", tmp_path / "more")


@pytest.mark.parametrize("size", SHAPES)
def test_splice(size):
    """Every cell holds its own sample, whatever its shape, and a label map goes where its picture goes."""
    maps = [np.full(SHAPES[number % 2], number + 1, np.uint8) for number in range(6)]
    for number, one in enumerate(maps):
        one[: one.shape[0] // 2, : one.shape[1] // 2] = 10 + number  # which corner is which
    image, labels = splice([np.stack([one] * 3, -1) for one in maps], maps, 2, 3, size)
    assert image.shape == (*size, 3)
    assert labels.shape == size
    for number in range(6):
        row, column = divmod(number, 3)
        tops, lefts = [size[0] * r // 2 for r in (row, row + 1)], [size[1] * c // 3 for c in (column, column + 1)]
        cell = labels[tops[0] : tops[1], lefts[0] : lefts[1]]
        assert set(np.unique(cell)) == {number + 1, 10 + number}
        assert (cell[0, 0], cell[0, -1], cell[-1, 0], cell[-1, -1]) == (10 + number, *[number + 1] * 3)
        assert np.array_equal(image[tops[0], lefts[0]], [10 + number] * 3)


def pictures_of(page: str) -> list[tuple[int, int]]:
    """(width, height) of all pictures in a page."""
    data = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", page)
    return [Image.open(io.BytesIO(base64.b64decode(one))).size for one in data]


def test_masks_of_photographs_and_their_page(mini_folder, tmp_path):
    """A set from the model on: its steps are drawn in the shape of their picture, and everything that follows takes it."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (*SHAPES[number % 2], 3), np.uint8)).save(tmp_path / f"photos/{number}.png")
    out = tmp_path / "masked"
    options = ("--model", mini_folder, "--timesteps", "200", "--presence", 0, "--keep-soft", "--device", "cpu", "--size", 96, "--quiet")
    run("mask", tmp_path / "photos", "--classes", "dog,cat", *options, "--out", out)
    assert [sample.label_map.shape for sample in store.read_dataset(out)] == [*SHAPES] * 2
    assert all(sample.soft is not None and sample.soft.shape[1:] == sample.label_map.shape for sample in store.read_dataset(out))
    steps = [load_trace(path) for path in sorted((out / native.STEPS).iterdir())]
    for traced in steps:
        height, width = traced.label_map.shape
        assert all(one.map.shape[0] / one.map.shape[1] == pytest.approx(height / width, rel=0.15) for one in traced.steps)
    run("preview", out)
    page = (out / "preview.html").read_text(encoding="utf-8")
    shapes = re.findall(r"--shape:(\d+)/(\d+);", page)
    assert [(int(height), int(width)) for width, height in shapes] == [traced.label_map.shape for traced in steps[: len(shapes)]]
    for width, height in pictures_of(page):  # photographs, and what the model saw and read of them
        assert max(width, height) / min(width, height) == pytest.approx(1.5, rel=0.15)
    run("check", out, "--quiet")
    run("merge", out, written(tmp_path / "pets"), "--out", tmp_path / "all", "--quiet")
    run("check", tmp_path / "all", "--quiet")
    run("augment", out, "--add", "splice-2x2:2", "--out", tmp_path / "more", "--quiet")
    run("check", tmp_path / "more", "--quiet")
