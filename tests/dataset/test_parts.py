import numpy as np
import pytest
from items import noise_pixels
from layout_cases import FOUR_PARTS, formats_of, write_case
from refusals import user_error

from seediff.config.sets import AugmentConfig
from seediff.dataset.augmented import open_augmented
from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_image
from seediff.dataset.sample import Sample
from seediff.rows.values import part_of
from seediff.train.stages import open_training


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train Training", "train"),
        ("val Valid validation DEV minival", "val"),
        ("test testing", "test"),
        ("holdout eval evaluation trainval minitrain val2 tests", None),
    ],
)
def test_the_split_of_a_part(names, split):
    assert {part_of(name) for name in names.split()} == {split}


LABELS = np.eye(9, dtype=np.uint8)


def native(folder, *parts):
    """A set of a sample for each part; "" for a row without `split`."""
    rows = [{"split": part} if part else {} for part in parts]
    pictures = [encode_image(noise_pixels(9, 9, seed=number), "png") for number in range(len(parts))]
    pairs = enumerate(zip(pictures, rows, strict=True))
    samples = [Sample(picture, LABELS, row=row, name=f"s{number}") for number, (picture, row) in pairs]
    Dataset(("dog",), samples).save(folder)
    return folder


def trained(plan):
    return [sample.name for stage in plan.stages for sample in stage.items]


def test_rows_of_dev_are_for_validation(tmp_path):
    plan = open_training([native(tmp_path / "set", "train", "dev", "testing", "")])
    assert (trained(plan), [sample.name for sample in plan.validation]) == (["s0", "s3"], ["s1"])
    assert [len(Dataset.open(tmp_path / "set", split=part)) for part in ("val", "dev", "train")] == [1, 1, 2]


@pytest.mark.parametrize("others", [("train", "val"), ("",)])
def test_train_and_evaluate_ask_for_unclear_parts(tmp_path, others):
    folder = native(tmp_path / "set", *others, "holdout")
    for opened in (lambda: open_training([folder]), lambda: open_training([folder], validation_share=0.5)):
        with user_error(
            'part "holdout" of 1 sample is none of train, val, test; --split says .* such as train or holdout'
        ):
            opened()
    with user_error('part "holdout"'):
        Dataset.open(folder, labels_alone=True)
    assert trained(open_training([folder], split="train")) == ["s0"]
    assert trained(open_training([folder], split="train,holdout")) == ["s0", f"s{len(others)}"]
    assert [sample.name for sample in Dataset.open(folder, split="holdout", labels_alone=True)] == [f"s{len(others)}"]


def test_parts_that_are_all_unclear_are_trained_on(tmp_path):
    folder = native(tmp_path / "set", "monday", "tuesday")
    assert trained(open_training([folder])) == ["s0", "s1"]
    assert open_augmented(AugmentConfig(), folder).sources == [0, 1]


def test_split_also_chooses_what_is_set_aside_and_what_is_tuned_with(tmp_path):
    folder = native(tmp_path / "set", *["train"] * 4, "val", "holdout")
    plan = open_training([folder], finetune=[folder], split="train", validation_share=0.5)
    assert len(plan.validation) == 2
    assert {*trained(plan)} <= {f"s{number}" for number in range(4)}


def test_export_tells_that_unclear_parts_go_into_train(tmp_path):
    done = Dataset.open(native(tmp_path / "set", "train", "val", "holdout")).export("voc", tmp_path / "voc")
    assert done.splits == {"train": 2, "val": 1}
    assert 'part "holdout" of 1 sample is none of train, val, test: it goes into train' in done.notes


@pytest.mark.parametrize("format_", formats_of(FOUR_PARTS))
def test_a_part_of_a_format_is_opened_by_each_of_its_names(tmp_path, format_):
    write_case(f"{format_}: {FOUR_PARTS}", tmp_path)
    for asked in ("dev", "validation", "val"):
        assert [sample.metadata["split"] for sample in Dataset.open(tmp_path, split=asked)] == ["val"]
