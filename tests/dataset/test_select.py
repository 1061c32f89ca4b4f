import numpy as np
import pytest
from refusals import user_error

from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_image
from seediff.dataset.sample import Sample
from seediff.dataset.select import AREA_BINS, measure, set_stats
from seediff.dataset.writing import save_native
from seediff.masks.results import confidence

CLASSES = ("dog", "cat")


def soft_of(number):
    """(16, 20) in [0, 1]: a block of the class, surer with each number, and a rim of 0.55."""
    soft = np.zeros((16, 20), np.float32)
    soft[3:11, 3:13] = 0.55
    soft[4:10, 4:12] = 0.7 + 0.05 * number
    return soft


@pytest.fixture
def pets(tmp_path):
    """Dogs 0, 2, 4 and cats 1, 3, 5; number 3 in two pieces, number 5 flagged."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(6):
        name, class_id, soft = CLASSES[number % 2], 1 + number % 2, soft_of(number)
        labels = np.where(soft >= 0.5, class_id, 0).astype(np.uint8)
        if number == 3:
            labels[15, 15:18] = 2
        sure = confidence(labels, soft, class_id)
        row = {"flags": ["constant:cat"] if number == 5 else [], "classes": [name], "confidence": {name: sure}}
        image = rng.integers(0, 256, (16, 20, 3), np.uint8)
        items.append(Sample(encode_image(image, "png"), labels, row=row, name=f"{number:06d}"))
    save_native(tmp_path / "pets", CLASSES, items, about={})
    return tmp_path / "pets"


def numbers(pets, **criteria):
    return [int(sample.name) for sample in Dataset.open(pets).filter(**criteria)]


STAY = [
    ({"drop_flags": ("constant:cat",)}, [0, 1, 2, 3, 4]),
    ({"drop_flags": ("constant_map:cat", "degenerate")}, [0, 1, 2, 3, 4, 5]),
    ({"min_area": 81 / 320}, [3]),
    ({"max_area": 81 / 320}, [0, 1, 2, 4, 5]),
    ({"max_components": 1}, [0, 1, 2, 4, 5]),
    ({"max_components": 1, "min_piece": 4}, [0, 1, 2, 3, 4, 5]),
    ({"min_confidence": 0.75}, [4, 5]),  # 0.64, 0.67, 0.7, 0.73 but for a stray piece, 0.76, 0.79
    ({"best": 2, "drop_flags": ("all",)}, [1, 2, 3, 4]),
    ({"worst": 2}, [0, 1]),
    ({"worst": 2, "drop_flags": ("all",), "best": 2}, [1, 2]),
]


@pytest.mark.parametrize(("criteria", "stay"), STAY)
def test_what_stays(pets, criteria, stay):
    assert numbers(pets, **criteria) == stay


def test_cleaned_masks_say_so_and_lose_their_scores(pets, tmp_path):
    kept = Dataset.open(pets).filter(clean=4, min_confidence=0)
    assert kept.notes == ("pieces below 4 pixels removed in 1 of 6 masks",)
    kept.save(tmp_path / "clean")
    rows = [sample.row.to_json() for sample in Dataset.open(tmp_path / "clean")]
    assert [row.get("least_piece") for row in rows] == [None, None, None, 4, None, None]
    assert "confidence" not in rows[3]
    assert list(rows[3]["area"].values()) == list(rows[1]["area"].values())
    assert (Dataset.open(tmp_path / "clean")[3].label_map[15] == 0).all()


def test_a_smallest_piece_alone_is_refused(pets):
    with user_error("min_piece: works only with --max-components"):
        numbers(pets, min_piece=4)


def dogs(*rows):
    """Equal pictures with these rows."""
    image, labels = encode_image(np.zeros((4, 4, 3), np.uint8), "png"), np.eye(4, dtype=np.uint8)
    return Dataset(("dog",), [Sample(image, labels, row=row, name=str(number)) for number, row in enumerate(rows)])


@pytest.mark.parametrize("key", ["confidence", "support"])
def test_samples_stay_by_what_their_rows_say(key):
    """A person's mask is certain; one that was made in the viewer is not, nor is a picture without a class."""
    rows = [{"classes": ["dog"], key: {"dog": share}} for share in (0.4, 0.6)]
    rows += [
        {"classes": ["dog"], "review": {"corrected": True}},
        {"classes": ["dog"], "review": {"made": {"alpha": 0.5}}},
        {"classes": []},
    ]
    selected = dogs(*rows).filter(**{f"min_{key}": 0.5})
    assert ([sample.name for sample in selected], selected.dropped) == (["1", "2"], {key: 3})
    with user_error(rf"min_{key}: needs `{key}`, and sample '5' of the dataset has none"):
        dogs(*rows, {"classes": ["dog"]}).filter(**{f"min_{key}": 0.5})


def test_the_best_and_the_worst_follow_both_figures_and_a_corrected_mask_is_certain():
    figures = [(0.9, 0.8), (0.8, 0.1), (0.1, 0.9), (0.7, 0.7)]
    rows = [{"classes": ["dog"], "support": {"dog": one}, "confidence": {"dog": two}} for one, two in figures]
    rows += [{"classes": ["dog"]}, {"classes": ["dog"], "review": {"corrected": True}}]
    data = dogs(*rows)
    assert [one.name for one in data.filter(worst=2)] == ["1", "2"]
    assert [one.name for one in data.filter(best=2)] == ["0", "5"]
    with user_error("worst: needs `support` or `confidence`, and no sample of the dataset has one"):
        dogs(*rows[4:]).filter(worst=2)


def test_counts_of_a_small_set():
    one = np.zeros((10, 10), np.uint8)
    one[:2, :5] = 1  # 10 %
    one[5, 5] = one[7, 7] = 1  # two more pieces, 12 % in all
    one[9] = 255
    two = np.full((5, 10), 2, np.uint8)
    found = set_stats([measure(one), measure(two)], ("dog", "cat", "bus"))
    dog, cat, bus = found.classes
    assert (found.images, found.sizes) == (2, {"10×10": 1, "5×10": 1})
    assert (found.background, found.ignored) == (pytest.approx(78 / 150), pytest.approx(10 / 150))
    assert (dog.images, dog.pixels, dog.mean_area, dog.mean_pieces) == (
        1,
        pytest.approx(12 / 150),
        pytest.approx(0.12),
        3,
    )
    assert dog.areas[AREA_BINS.index(0.1)] == cat.areas[-1] == 1
    assert (bus.images, bus.mean_area, bus.mean_pieces, sum(bus.areas)) == (0, None, None, 0)
    assert found.to_json()["area_bins"][-1] == 1
