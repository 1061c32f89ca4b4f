from dataclasses import dataclass, field

import numpy as np
import pytest
from items import item

from seediff.dataset.quality.agreement import agreement, check_segmenter
from seediff.dataset.quality.select import Criteria, select_samples
from seediff.dataset.store import open_native
from seediff.errors import UserError
from seediff.run.collect import write_native


@dataclass
class Fake:
    """Sees the fox where the picture's first row is brighter than its second, and the cat in the last column; its classes are others."""

    classes: tuple[str, ...] = ("fox", "dog", "cat")
    shown: list[tuple[int, ...]] = field(default_factory=list)

    def label_maps(self, images):
        self.shown += [image.shape for image in images]
        found = [np.zeros(image.shape[:2], np.uint8) for image in images]
        for one in found:
            one[0], one[:, -1] = 1, 3
        return found


def masks() -> list[np.ndarray]:
    """Classes cat 1, fox 2: as the segmenter sees it; without the cat; the cat ignored; the fox all over."""
    same = np.zeros((4, 6), np.uint8)
    same[0], same[:, -1] = 2, 1
    without, ignored = same.copy(), same.copy()
    without[without == 1] = 0
    ignored[ignored == 1] = 255
    return [same, without, ignored, np.full((4, 6), 2, np.uint8)]


def test_agreement_is_the_iou_of_each_class():
    found = [agreement(item(labels=labels), ("cat", "fox"), Fake()) for labels in masks()]
    assert found == [{"cat": 1.0, "fox": 1.0}, {"cat": 0.0, "fox": 1.0}, {"fox": 1.0}, {"cat": 0.0, "fox": round(5 / 24, 4)}]


def test_filter_by_agreement(tmp_path):
    flagged = item("flagged", masks()[0], {"flags": ["constant:cat"]})
    items = [*(item(str(i), labels) for i, labels in enumerate(masks())), flagged]
    write_native(tmp_path / "out", ("cat", "fox"), items, about={})
    segmenter = Fake()
    selected = select_samples(tmp_path / "out", Criteria(drop_flags=("all",), min_agreement=0.5), segmenter=segmenter)
    assert [one.name for one in selected.items] == ["0", "2"]
    assert selected.dropped == {"flags": 1, "agreement": 2}
    assert segmenter.shown == [(4, 6, 3)] * 4  # not what failed before
    write_native(tmp_path / "good", selected.classes, selected.items, about={})
    assert [dict(one.row["agreement"]) for one in open_native(tmp_path / "good")[1]] == [{"cat": 1.0, "fox": 1.0}, {"fox": 1.0}]


def test_what_cannot_be_judged():
    with pytest.raises(UserError, match="--agree model: does not know the class 'bus'; it knows fox, dog, cat"):
        check_segmenter(Fake(), ("cat", "bus"), "model")
    with pytest.raises(UserError, match=r"--min-agreement 2: must be in \[0, 1\]"):
        Criteria(min_agreement=2)
