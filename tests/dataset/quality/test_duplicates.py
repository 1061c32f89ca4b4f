import numpy as np
import pytest
from PIL import Image, ImageEnhance

from seediff.dataset.split import difference_hash, near_numbers, positions_of


def near_groups(hashes):
    return [group for group in positions_of(near_numbers(hashes)) if len(group) > 1]


def scene(seed):
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(cells).resize((96, 96), Image.Resampling.BICUBIC)


def test_the_hash_says_which_cells_grow_brighter():
    grey = np.kron(np.array([[0, 1, 2, 3, 4, 3, 2, 1, 0]] * 8) * 20, np.ones((4, 4))).astype(np.uint8)
    assert difference_hash(Image.fromarray(grey)) == int("11110000" * 8, 2)
    assert difference_hash(Image.new("RGB", (7, 5), (9, 9, 9))) == 0


@pytest.mark.parametrize(
    "change",
    [lambda p: p.resize((60, 80)), lambda p: ImageEnhance.Brightness(p).enhance(0.8), lambda p: p.convert("L")],
)
def test_the_same_scene_made_anew_looks_alike_and_others_do_not(change):
    hashes = [difference_hash(scene(i)) for i in range(20)] + [difference_hash(change(scene(7)))]
    assert near_groups(hashes) == [[7, 20]]


@pytest.mark.parametrize("seed", range(2))
def test_near_groups_are_the_components_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    hashes = [int(value) for value in rng.integers(0, 2**63, 12)]
    for _ in range(30):  # some near, some in a chain, some just too far
        flips = rng.choice(64, rng.integers(0, 7), replace=False)
        hashes.append(hashes[rng.integers(len(hashes))] ^ sum(1 << int(bit) for bit in flips))
    groups = [{i} for i in range(len(hashes))]
    for i, a in enumerate(hashes):
        for j, b in enumerate(hashes):
            if (a ^ b).bit_count() <= 4 and (one := next(g for g in groups if i in g)) is not (
                two := next(g for g in groups if j in g)
            ):
                one |= two
                groups.remove(two)
    assert sorted(near_groups(hashes)) == sorted(sorted(g) for g in groups if len(g) > 1)
