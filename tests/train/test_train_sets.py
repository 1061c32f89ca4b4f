import shutil
from dataclasses import replace

import numpy as np
import pytest
from refusals import user_error
from shapes import CLASSES, items

from seediff.config.train import TrainConfig
from seediff.dataset.encoding import encode_mask, read_label_map
from seediff.dataset.writing import save_native
from seediff.train.stages import find_doubts, open_training

CONFIG = TrainConfig()


@pytest.fixture
def native(tmp_path):
    def write(name, count=4, classes=CLASSES, first=0, val=()):
        made = [
            one.replace(row={"split": "val"} if i in val else {}) for i, one in enumerate(items(count, first=first))
        ]
        save_native(tmp_path / name, classes, made, about={"command": "test"})
        return tmp_path / name

    return write


def test_classes_are_found_by_name(native):
    swapped = native("b", 2, classes=CLASSES[::-1])
    plan = open_training([native("a", 2), swapped])
    one, other = plan.stages[0].items[0].label_map, plan.stages[0].items[2].label_map
    assert np.array_equal(np.where(one == 1, 2, np.where(one == 2, 1, one)), other)
    union = open_training([native("c", 2)], classes=("star", "disc", "square"))
    assert set(np.unique(union.stages[0].items[0].label_map)) == {0, 3, 255}
    with user_error("class 'disc' is not in square, star"):
        open_training([native("d", 2)], classes=("square", "star"))


@pytest.mark.parametrize("few_first", [False, True])
@pytest.mark.parametrize("role", ["data", "finetune", "validation"])
def test_sets_with_different_classes_are_refused_in_both_orders(native, few_first, role):
    """What one of them never labels would be background there."""
    every = (*CLASSES, "star")
    sets = [native("few", 2), native("all", 2, classes=every)]
    first, second = sets if few_first else sets[::-1]
    others = {"finetune": [second], "validation": second}
    data = [first, second] if role == "data" else [first]
    chosen = {role: others[role] for role in others.keys() & {role}}
    with user_error(f"few: never labels star, which would be background.*--classes {','.join(every)};"):
        open_training(data, **chosen)
    plan = open_training(data, **chosen, classes=every)
    (note,) = plan.notes
    assert note.startswith(f"{sets[0]} never labels star: there they are background, unless")


def test_validation(native):
    marked = native("a", 6, val=(1, 4))
    twice = native("b", 6)
    by_share = open_training([twice, twice], finetune=[twice], validation_share=0.34)
    held = {one.name for one in by_share.validation}
    assert len(held) == 2
    assert not [one for stage in by_share.stages for one in stage.items if one.name in held]
    other = open_training([marked], validation=native("c", 3, first=30))
    assert ([one.name for one in other.validation], len(other.stages[0].items)) == (["s30", "s31", "s32"], 4)


def test_the_validation_parts_of_all_datasets(native):
    """They never train."""
    plain, marked = native("a", 2, first=60), native("b", 6, val=(1, 4))
    plan = open_training([plain, marked], finetune=[marked], finetune_epochs=3)
    assert [one.name for one in plan.validation] == ["s1", "s4"]
    assert [(len(stage.items), stage.epochs) for stage in plan.stages] == [(6, 10.0), (4, 3)]
    by_share = open_training([plain, marked], validation_share=0.5)
    assert (len(by_share.validation), len(by_share.stages[0].items)) == (1, 5)


def test_doubts(native):
    """A class that only samples for validation show, and samples that are also trained on, are said."""
    marked, more = native("a", 6, val=(1, 4)), ("square", "disc", "star")
    assert find_doubts(open_training([marked]), CONFIG) == []
    assert find_doubts(open_training([marked], validation=marked), CONFIG) == []
    plain = native("b", 3)
    shared = "3 of 3 samples for validation are also trained on, so its scores are too high"
    assert find_doubts(open_training([marked, plain], validation=plain), CONFIG) == [shared]
    copied = shutil.copytree(plain, plain.with_name("copied"))
    assert find_doubts(open_training([marked, plain], validation=copied), CONFIG) == [shared]
    missing = "no label map that is trained on shows star: it cannot be learned"
    assert find_doubts(open_training([marked], classes=more), CONFIG) == [missing]
    with_star = native("c", 2, classes=more, first=70)
    for path in (with_star / "masks").iterdir():
        path.write_bytes(encode_mask(np.where(read_label_map(path) == 1, 3, 255).astype(np.uint8)))
    held = open_training([marked], validation=with_star, classes=more)
    assert find_doubts(held, CONFIG) == [missing]
    assert find_doubts(open_training([marked], finetune=[with_star], classes=more), CONFIG) == []
    few = "from scratch, 4 steps are too few to learn classes; take at least 300, or --weights pretrained"
    assert find_doubts(open_training([marked], steps=4), replace(CONFIG, weights="scratch")) == [few]
    assert find_doubts(open_training([marked], steps=300), replace(CONFIG, weights="scratch")) == []
