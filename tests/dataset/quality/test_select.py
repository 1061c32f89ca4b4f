import pickle

import numpy as np
import pytest
import torch

from seediff.config.constants import MaskConfig
from seediff.dataset import native
from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import Instances, read_label_map
from seediff.dataset.native_folder import write_native
from seediff.dataset.quality.check import check_dataset
from seediff.dataset.quality.select import Criteria, select_samples, uncertain_band
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.masks.make import label_pixels

CLASSES = ("dog", "cat")


def soft_of(number):
    """(16, 20) in [0, 1]: a block of the class, surer with each number, and a rim of 0.55."""
    soft = np.zeros((16, 20), np.float32)
    soft[3:11, 3:13] = 0.55
    soft[4:10, 4:12] = 0.7 + 0.05 * number
    return soft


@pytest.fixture
def pets(tmp_path):
    """Dogs 0, 2, 4 and cats 1, 3, 5; number 3 in two pieces, number 5 flagged, soft masks of all."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(6):
        labels = np.where(soft_of(number) >= 0.5, 1 + number % 2, 0).astype(np.uint8)
        if number == 3:
            labels[15, 15:18] = 2
        row = {"prompt": "p", "flags": ["constant:cat"] if number == 5 else [], "classes": [CLASSES[number % 2]]}
        image = rng.integers(0, 256, (16, 20, 3), np.uint8)
        items.append(Sample(native.encode_image(image, "png"), labels, metadata=row, name=f"{number:06d}"))
    write_native(tmp_path / "pets", CLASSES, items, about={})
    (tmp_path / "pets/soft").mkdir()
    for number in range(6):
        (tmp_path / "pets" / f"soft/{number:06d}_{1 + number % 2}.png").write_bytes(native.encode_soft(soft_of(number)))
    return tmp_path / "pets"


def numbers(pets, **criteria):
    return [int(sample.name) for sample in Dataset.from_native(pets).filter(**criteria)]


@pytest.mark.parametrize(
    ("criteria", "stay"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"drop_flags": ("all",)}, [0, 1, 2, 3, 4]),
        ({"drop_flags": ("constant:cat",)}, [0, 1, 2, 3, 4]),
        ({"drop_flags": ("constant_map:cat", "degenerate")}, [0, 1, 2, 3, 4, 5]),
        ({"min_area": 81 / 320}, [3]),
        ({"max_area": 81 / 320}, [0, 1, 2, 4, 5]),
        ({"max_components": 1}, [0, 1, 2, 4, 5]),
        ({"max_components": 1, "min_piece": 4}, [0, 1, 2, 3, 4, 5]),
        ({"min_confidence": 0.72}, [4, 5]),  # 0.64, 0.67, 0.7, 0.73 without its stray piece, 0.76, 0.79
        ({"best": 2, "drop_flags": ("all",)}, [1, 2, 3, 4]),
        ({"max_components": 1, "ignore_band": (0.5, 0.6)}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_what_stays(pets, criteria, stay):
    assert numbers(pets, **criteria) == stay


def test_rows_have_the_confidence_and_a_filtered_set_can_be_filtered_by_it(pets, tmp_path):
    Dataset.from_native(pets).filter(min_confidence=0.65).save(tmp_path / "out")
    rows = native.read_rows(tmp_path / "out")
    for row in rows:
        labels = read_label_map(tmp_path / "out" / row["mask"])
        soft = np.round(soft_of(int(row["file_name"][7:13])) * 255).astype(float) / 255
        (name,) = row["classes"]
        inside = labels == row["class_ids"][0]
        assert row["confidence"] == {name: pytest.approx(soft[inside].mean() - soft[~inside].mean(), abs=6e-5)}
        assert row["prompt"] == "p"
    assert numbers(tmp_path / "out", best=1) == [4, 5]
    assert check_dataset(tmp_path / "out").findings == ()


def test_samples_stay_by_their_agreement():
    """A person's mask counts as one that agrees; one that was made in the viewer does not, nor a picture without a
    class.
    """
    rows = [{"classes": ["dog"], "agreement": {"dog": share}} for share in (0.4, 0.6)]
    rows += [
        {"classes": ["dog"], "review": {"corrected": True}},
        {"classes": ["dog"], "review": {"made": {}}},
        {"classes": []},
    ]
    picture, labels = native.encode_image(np.zeros((4, 4, 3), np.uint8), "png"), np.eye(4, dtype=np.uint8)
    samples = [Sample(picture, labels, metadata=row, name=str(number)) for number, row in enumerate(rows)]
    selected = select_samples(("dog",), samples, Criteria(min_agreement=0.5))
    assert [sample.name for sample in selected.samples] == ["1", "2"]
    assert selected.dropped == {"agreement": 3}
    samples.append(Sample(picture, labels, metadata={"classes": ["dog"]}, name="bare"))
    with pytest.raises(UserError, match=r"min_agreement: needs `agreement`, and sample 'bare' of the dataset has none"):
        select_samples(("dog",), samples, Criteria(min_agreement=0.5))


def test_the_uncertain_band_is_ignored(pets, tmp_path):
    banded = Dataset.from_native(pets).filter(ignore_band=(0.5, 0.6))
    banded.save(tmp_path / "out")
    for item, row in zip(banded, native.read_rows(tmp_path / "out"), strict=True):
        labels, soft = item.label_map, soft_of(int(item.name))
        assert np.array_equal(labels, np.where(soft >= 0.6, row["class_ids"][0], np.where(soft >= 0.5, 255, 0)))
        assert list(row["area"].values()) == [48 / 320]
    assert check_dataset(tmp_path / "out").errors == 0


@pytest.mark.parametrize(("threshold", "band", "pixels"), [(0.5, (0.56, 0.6), 6 * 7), (0.6, (0.4, 0.5), 8 * 10)])
def test_objects_follow_the_band(tmp_path, threshold, band, pixels):
    """The rim leaves its objects, one of which then has no pixel, and an uncertain column does not cut the other; or
    the rim joins it.
    """
    soft = soft_of(0)
    soft[:, 8] = soft[:, 8].clip(max=0.55)
    numbers = (soft >= threshold).astype(np.uint16)
    numbers[10] *= 2
    instances = Instances(numbers, (1, 1), (0.5, 0.25))
    image = np.random.default_rng(0).integers(0, 256, (*soft.shape, 3), np.uint8)
    (tmp_path / "soft.png").write_bytes(native.encode_soft(soft))
    extras = {(native.SOFT, 1): tmp_path / "soft.png"}
    sample = Sample(
        image, instances.label_map(), instances, {"classes": ["dog"], "class_ids": [1]}, name="0", extras=extras
    )
    banded = Dataset(CLASSES, [sample]).filter(ignore_band=band)
    Dataset(CLASSES, pickle.loads(pickle.dumps(banded.samples))).save(tmp_path / "out")
    (found,) = Dataset.open(tmp_path / "out").samples
    assert (found.instances.class_ids, found.instances.scores) == ((1,), (0.5,))
    np.testing.assert_array_equal(found.instances.numbers, found.label_map == 1)
    assert int(found.instances.numbers.sum()) == pixels
    assert not [finding for finding in check_dataset(tmp_path / "out").findings if finding.kind == "objects"]


def test_the_band_is_that_of_the_masks():
    values = torch.randint(0, 256, (3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = label_pixels(values.double() / 255, MaskConfig(ignore_band=(0.5, 0.6))).numpy()
    table = np.zeros(256, np.uint8)
    table[1:4], table[255] = (7, 2, 5), 255
    before = np.zeros((40, 40), np.uint8)
    assert np.array_equal(uncertain_band(before, list(values.numpy()), (7, 2, 5), 0.5, 0.6), table[expected])
    before[:5] = 255
    assert (uncertain_band(before, list(values.numpy()), (7, 2, 5), 0.5, 0.6)[:5] == 255).all()
    assert uncertain_band(before, [], (), 0.5, 0.6) is before


def test_a_class_that_the_band_takes_away_is_flagged(pets):
    banded = Dataset.from_native(pets).filter(ignore_band=(0.5, 0.99))
    assert banded[5].metadata["flags"] == ["constant:cat", "degenerate:cat"]
