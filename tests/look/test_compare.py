import numpy as np
import pytest
from look_server import CLASSES, running, write_set

from seediff.dataset import native
from seediff.look.compare import difference


def reference(here, there):
    """Pixel by pixel: the share that differs, and per class intersection and union."""
    different = pixels = 0
    both, either = np.zeros(255), np.zeros(255)
    for a, b in zip(here.ravel().tolist(), there.ravel().tolist(), strict=True):
        if 255 in (a, b):
            continue
        pixels += 1
        different += a != b
        for label in {a, b}:
            either[label] += 1
            both[label] += a == b
    return different / pixels if pixels else 0.0, both, either


def test_against_a_plain_reference():
    rng = np.random.default_rng(0)
    for values in ([0, 1, 2, 254, 255], [0, 1], [1, 2, 255], [255]):
        here, there = rng.choice(values, (2, 9, 7)).astype(np.uint8)
        found, (different, both, either) = difference(here, there), reference(here, there)
        assert found.different == pytest.approx(different, abs=1e-9)
        np.testing.assert_array_equal(found.both, both)
        np.testing.assert_array_equal(found.either, either)


@pytest.fixture
def two(tmp_path):
    """Four pictures; and another set of three of them, its classes in another order and one of its own, the second mask
    without its top.
    """
    here = write_set(tmp_path / "here", 4)
    there = write_set(tmp_path / "there", 3, ("bus", "potted plant", "cat", "dog"))
    ids = np.array([0, 4, 3, 2], np.uint8)
    for number in range(3):
        mask = ids[native.read_label_map(here / f"masks/{number:06d}.png")]
        mask[: 40 * (number == 1)] = 0
        (there / f"masks/{number:06d}.png").write_bytes(native.encode_mask(mask))
    return here, there


def compared(client, count):
    from patience import wait_until

    wait_until(lambda: client.get("/api/samples/0/compared")["all"]["compared"] >= count)
    return client.get("/api/samples/0/compared")["all"]


def test_classes_are_matched_by_name_and_the_most_different_come_first(two):
    here, there = two
    with running(here, compare=there) as (client, _):
        assert client.get("/api/set")["compared"] == {"name": "there", "classes": [*CLASSES, "bus"]}
        total = compared(client, 3)
        assert total["missing"] == 1
        original = native.read_label_map(here / "masks/000001.png")
        cut = original.copy()
        cut[:40] = 0
        np.testing.assert_array_equal(client.ask("GET", "/api/samples/1/other").labels, cut)
        one = client.get("/api/samples/1/compared")["one"]
        assert one["different"] == pytest.approx((original != cut).mean(), abs=1e-4)
        ious = {row["name"]: row["iou"] for row in one["classes"]}
        assert ious["cat"] == pytest.approx((cut == 2).sum() / (original == 2).sum(), abs=1e-4)
        assert client.numbers(sort="different", descending=True)[0] == 1
        assert client.ask("GET", "/api/samples/3/other").status == 400
        client.paint(1, cut, 0)  # a correction is compared at once
        assert client.get("/api/samples/0/compared")["all"]["miou"] == 1


def test_before_and_after_corrections(two):
    here, _ = two
    with running(here) as (client, _):
        assert client.get("/api/set")["compared"] is None
        assert client.ask("GET", "/api/samples/0/compared").status == 404
    with running(here, compare=here) as (client, _):
        assert client.get("/api/set")["compared"]["name"] == "before corrections"
        assert compared(client, 4)["miou"] == 1
        labels = client.labels(0).copy()
        labels[:5] = 3
        assert client.paint(0, labels, 0).json["different"] > 0
        assert client.get("/api/samples/0/compared")["all"]["miou"] < 1
        client.act(0, "undo", 1)
        assert client.get("/api/samples/0/compared")["all"]["miou"] == 1
