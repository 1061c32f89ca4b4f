from collections import Counter

import numpy as np
import pytest
from refusals import user_error

from seediff.config.sets import AugmentConfig
from seediff.dataset.augmented import open_augmented, write_augmented
from seediff.dataset.check import check_dataset
from seediff.dataset.copies import copy_key, pixel_digest
from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_image
from seediff.dataset.sample import Sample
from seediff.dataset.split import assign_splits, join_groups, name_keys, positions_of, set_splits, split_samples
from seediff.files.image_files import compress_image

SHARES = {"val": 0.2, "test": 0.1}


def samples(count=60, seed=0, copies=0):
    """Items of unlike pictures, of one class of three each in turn, every fifth of two; the first `copies` again: every
    other one as it is, and the rest brighter, as `augment` would make them from the copy before.
    """
    rng = np.random.default_rng(seed)
    items = []
    images = list(rng.integers(0, 256, (count, 8, 10, 3)).repeat(4, 1).repeat(4, 2).astype(np.uint8))
    for number in range(count + copies):
        image, row = images[number % count], {}
        if number >= count and number % 2:
            image, row = image // 2, {"recipe": {"pixels": pixel_digest(image), "steps": []}}
        labels = np.zeros(image.shape[:2], np.uint8)
        labels[:8] = 1 + number % count % 3
        if number % 5 == 0:
            labels[8:16] = 1 + (number + 1) % 3
        items.append(Sample(encode_image(image, "png"), labels, row=row, name=f"{number:03d}"))
    return items


def test_every_class_is_in_every_part_by_its_share():
    items = samples()
    found = split_samples(items, ("a", "b", "c"), SHARES)
    assert Counter(found) == {"train": 42, "val": 12, "test": 6}
    for class_id in (1, 2, 3):
        of_class = Counter(part for part, one in zip(found, items, strict=True) if (one.label_map == class_id).any())
        count = sum(of_class.values())
        assert all(abs(of_class[part] - share * count) <= 1.5 for part, share in {"train": 0.7, **SHARES}.items())
    assert split_samples(items, ("a", "b", "c"), SHARES) == found
    other = split_samples(items, ("a", "b", "c"), SHARES, seed=1)
    assert other != found
    assert Counter(other) == Counter(found)


def test_a_class_that_a_part_does_not_show_is_told():
    notes = []
    split_samples(samples(12), ("a", "b", "c"), {"val": 0.1}, note=notes.append)
    assert notes == ["val shows no a (5 images), c (5 images)"]


def test_a_part_that_would_be_empty_is_refused():
    with user_error("split: the part 'test' would be empty: 3 samples"):
        Dataset(("a", "b", "c"), samples(3)).split(val=0.4, test=0.01)
    with user_error("split: the part 'train' would be empty: 0 samples"):
        Dataset(("a",), []).split(by="folder")


def test_copies_stay_together_in_any_order():
    items = samples(copies=25)
    found = split_samples(items, ("a", "b", "c"), {"val": 0.2})
    assert all(found[i] == found[60 + i] for i in range(25))
    assert assign_splits(items[::-1], ("a", "b", "c"), 0.2)[::-1] == found


PETS, ZOO = "1" * 32, "2" * 32
COPIES = [
    # (name, recipe, digest of the picture) of each sample → the groups
    ([("a", {}, "x"), ("b", {}, "x"), ("c", {}, "y")], [[0, 1], [2]]),
    # The digest says which of two pictures of one name the source is, and joins copies whose source is not there.
    (
        [
            ("pets/0", {}, PETS),
            ("zoo/0", {}, ZOO),
            ("flipped/1", {"source": "0", "pixels": ZOO}, "a"),
            ("flipped/2", {"source": "augmented-000001", "pixels": ZOO}, "b"),
            ("3", {"source": "gone", "pixels": "gone"}, "c"),
            ("4", {"source": "gone", "pixels": "gone"}, "d"),
        ],
        [[0], [1, 2, 3], [4, 5]],
    ),
    (
        [
            ("train/IMG_1_jpg.rf.0123456789abcdef0123456789abcdef", {}, "a"),
            ("val/IMG_1_jpg.rf.fedcba9876543210fedcba9876543210", {}, "b"),
            ("IMG_2_jpg.rf.fedcba9876543210fedcba9876543211", {}, "c"),
            ("IMG_1_jpg.rf.short", {}, "d"),
        ],
        [[0, 1], [2], [3]],
    ),
]


@pytest.mark.parametrize(("rows", "groups"), COPIES)
def test_samples_of_one_picture_belong_together(rows, groups):
    image, labels = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    items = [Sample(image, labels, None, {"recipe": recipe}, name=name) for name, recipe, _ in rows]
    assert positions_of(map(copy_key, items, [digest for *_, digest in rows])) == groups


def test_copies_are_counted_and_checked_in_every_command(tmp_path):
    """Pictures with equal pixels in other files, and what `augment` makes, through merges that rename them."""
    plain = [item.replace(image=compress_image(item.image, compress_level=0)) for item in samples(12)]
    Dataset(("a", "b", "c"), samples(12)).save(tmp_path / "pets")
    Dataset(("a", "b", "c"), samples(12, seed=1)).save(tmp_path / "zoo")
    Dataset(("a", "b", "c"), plain).save(tmp_path / "again")
    config = AugmentConfig(add=("flip:100%",), keep_originals=False)
    write_augmented(open_augmented(config, tmp_path / "pets"), tmp_path / "flipped")
    merged = Dataset.open(tmp_path / "pets").merge(*(Dataset.open(tmp_path / name) for name in ("flipped", "zoo")))
    dataset = merged.merge(Dataset(("a", "b", "c"), plain))
    parts = dataset.split(val=0.3)
    assert parts[0].notes[-1].startswith("36 of 48 images are copies")
    dataset.save(tmp_path / "set")
    set_splits(tmp_path / "set", {one.name: one.metadata["split"] for part in parts for one in part})
    assert "split" not in [finding.kind for finding in check_dataset(tmp_path / "set").findings]
    # Divided by hand.
    set_splits(tmp_path / "set", {one.name: ("train", "val")["/" in one.name] for one in dataset})
    warned = [finding for finding in check_dataset(tmp_path / "set").findings if finding.kind == "split"]
    assert len(warned) == 12
    assert "scores on it are too high" in warned[0].text


@pytest.mark.parametrize(("by", "key"), [("folder", slice(0, 2)), (r"/(\d)", slice(3, 4)), (r"clip\d", slice(2, 2))])
def test_what_a_folder_or_a_pattern_joins_stays_together(by, key):
    items = [one.replace(name=f"c{number % 6}/{number:02d}") for number, one in enumerate(samples(40))]
    if by.startswith("clip"):
        with user_error(r'by: clip.*: no name has one, such as "c0/00"'):
            split_samples(items, ("a", "b", "c"), {"val": 0.3}, by=by)
        return
    notes = []
    parts = split_samples(items, ("a", "b", "c"), {"val": 0.3}, by=by, note=notes.append)
    assert {*parts} == {"train", "val"}
    of_key = {one.name[key]: part for one, part in zip(items, parts, strict=True)}
    assert [of_key[one.name[key]] for one in items] == parts
    assert notes == [f"{len(of_key)} groups by --by {by}: each is in one part"]


def test_all_groups_of_a_pattern_count():
    names = ["a_clip1_0", "a_clip1_1", "a_clip2_0", "b_clip1_0", "odd"]
    keys = name_keys(names, r"([ab])_clip(\d)")
    assert [keys.index(key) for key in keys] == [0, 0, 2, 3, 4]


def test_groups_that_share_a_sample_are_joined_and_pairs_join_what_is_not_too_large():
    assert join_groups([[0, 1], [2], [3, 4], [1, 4]], [], 6, 2) == ([[0, 1, 3, 4], [2], [5]], 0)
    assert join_groups([[0, 1], [2, 3]], [(4, 1), (3, 2), (5, 0), (5, 3)], 6, 3) == ([[0, 1, 4], [2, 3, 5]], 1)
