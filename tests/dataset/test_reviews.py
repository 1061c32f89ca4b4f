import json
from contextlib import nullcontext

import numpy as np
import pytest
from command_line import runner
from formats import opened
from items import GO, STAY, judged, judgements, rows_of
from look_server import CLASSES, write_set
from refusals import user_error

from seediff.cli.formats import export_, import_
from seediff.cli.main import main
from seediff.cli.sets import augment, filter_
from seediff.config.sets import AugmentConfig
from seediff.dataset.augmented import open_augmented
from seediff.dataset.check import check_dataset
from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_mask, encode_soft, read_label_map
from seediff.dataset.importing import correct
from seediff.dataset.native import open_native
from seediff.dataset.reviews import REVIEWS
from seediff.errors import Notice
from seediff.evaluate.evaluation import evaluate
from seediff.files.names import sample_name
from seediff.look.store import Edit, Store
from seediff.train.stages import open_training

run = runner(augment, export_, filter_, import_)
LEFT_OUT = "1 rejected sample left out"


@pytest.fixture
def pets(tmp_path):
    """Six samples: 0 and 3 accepted, 1 rejected, 3 corrected: its dog became a cat; soft masks are kept."""
    out = write_set(tmp_path / "pets", changes=[judged(CLASSES[number % 3]) for number in range(6)])
    (out / "soft").mkdir()
    for row in rows_of(out):
        labels = read_label_map(out / row["mask_file_name"])
        (out / f"soft/{sample_name(row['file_name'])}_{row['class_ids'][0]}.png").write_bytes(
            encode_soft((labels > 0) * 0.8)
        )
    store = Store(out, by="ann")
    store.act([(0, 0)], lambda _: Edit("accept"))
    store.act([(1, 0)], lambda _: Edit("reject"))
    store.act([(3, 0)], lambda _: Edit("relabel", labels=lambda present: np.where(present == 1, np.uint8(2), present)))
    store.act([(3, 1)], lambda _: Edit("accept"))
    store.close()
    return out


def test_opened_anywhere_it_is_the_corrected_set(pets):
    _, items = open_native(pets)
    assert [one.metadata for one in opened(pets)[1]] == [one.metadata for one in items]
    row = items[3].metadata
    assert (row["classes"], row["class_ids"]) == (["cat"], [2])
    assert row["review"] == {"verdict": "accepted", "corrected": True, "by": "ann"}
    assert np.unique(items[3].label_map).tolist() == [0, 2]
    assert [("soft", 1) in items[number].extras for number in (0, 3)] == [True, False]
    assert [judgements(item) for item in items] == [STAY, STAY, STAY, GO, STAY, STAY]
    assert ["review" in item.metadata for item in items] == [True, True, False, True, False, False]
    assert rows_of(pets)[3]["classes"] == ["dog"]  # the file itself is as it was


CONSTANTS = {"method": "ca", "alpha": 0.5, "beta": 0.6, "pamr": True}


@pytest.fixture
def remade(pets):
    """`pets`, where constants made new masks of 2 and 4; somebody accepted the second."""
    store = Store(pets, by="ann")
    for number in (2, 4):
        made = Edit("made", labels=lambda present: np.roll(present, 9, 1), made=CONSTANTS)
        store.act([(number, 0)], lambda _, made=made: made)
    store.act([(4, 1)], lambda _: Edit("accept"))
    store.close()
    return pets


def test_a_mask_that_nobody_drew_is_not_a_persons(remade, tmp_path):
    _, items = open_native(remade)
    said = {"corrected": False, "by": "ann", "made": CONSTANTS}
    assert [items[i].metadata["review"] for i in (2, 4)] == [said, {"verdict": "accepted", **said}]
    assert [judgements(item) for item in items] == [STAY, STAY, GO, GO, GO, STAY]
    assert [any(kind == "soft" for kind, _ in item.extras) for item in items] == [True, True, False, False, False, True]
    for reviewed, numbers in (("corrected", "3"), ("unreviewed", "25"), ("accepted", "034"), ("not-rejected", "02345")):
        run(f"filter {remade} --out {tmp_path}/{reviewed} --reviewed {reviewed}")
        assert [item.name for item in open_native(tmp_path / reviewed)[1]] == [f"00000{number}" for number in numbers]
    store = Store(tmp_path / "unreviewed", by="bob")  # what made a mask goes along
    store.act([(0, 0)], lambda _: Edit("reject"))
    store.close()
    classes, items = open_native(tmp_path / "unreviewed")
    assert items[0].metadata["review"] == {"verdict": "rejected", **said, "by": "bob"}
    back = [items[0], items[1].replace(label_map=np.zeros((64, 64), np.uint8))]
    found = correct(Dataset.open(tmp_path / "unreviewed"), classes, back, by="cvat")[1]
    assert [item.metadata["review"].get("made") for item in found] == [CONSTANTS, None]


def test_rejected_samples_are_left_out_unless_they_are_asked_for(pets, tmp_path, capsys):
    dataset, kept = Dataset.open(pets), ["000000", "000002", "000003", "000004", "000005"]
    for option, names in (({}, kept), ({"with_rejected": True}, sorted([*kept, "000001"]))):
        left_out = not option
        run(f"export {pets} --to yolo --out {tmp_path}/{left_out}", *["--with-rejected"][: len(option)])
        assert (f"note: {LEFT_OUT}\n" in capsys.readouterr().out) == left_out
        assert len(Dataset.open(tmp_path / f"{left_out}")) == len(names)
        with pytest.warns(Notice, match=LEFT_OUT) if left_out else nullcontext():
            assert len(dataset.as_torch(**option)) == len(names)
        training = open_training([dataset], validation=pets, **option)
        assert [item.name for item in training.stages[0].items] == names
        assert [item.name for item in training.validation] == names
        assert all((LEFT_OUT in opened.reading.left_out) == left_out for opened in training.sets)
        scores = evaluate(pets, pets, draws=1, corrected=True, **option)
        assert ([*scores.scores.images], LEFT_OUT in scores.data.reading.left_out) == (names, left_out)
        assert (
            scores.scores.miou.value == 1 > evaluate(pets / "masks", pets, draws=1).scores.miou.value
        )  # 3 became a cat
    more = open_augmented(AugmentConfig(add=("flip:100%",)), pets)
    assert 1 not in {new.source for new in more.new}
    with user_error(r"all of its samples \(1\) are rejected; accept .* --with-rejected"):
        dataset.filter(reviewed="rejected").export("voc", tmp_path / "none")


def test_a_reviewed_set_does_not_score_its_own_corrections(remade, tmp_path, capsys):
    """One mask was corrected and two were made anew. Only copies of the set lack the masks as they were made."""
    copy, maps = tmp_path / "copy", tmp_path / "maps"
    run(f"filter {remade} --out {copy} --quiet")
    run(f"export {remade} --to masks --out {maps} --with-rejected --quiet")
    for predictions, options, count in (
        (remade, {}, 0),
        (remade / "masks", {}, 0),
        (remade, {"corrected": True}, 3),
        (copy, {}, 3),
        (maps, {}, 3),
    ):
        scores = evaluate(predictions, remade, draws=1, boundary=False, **options)
        assert (scores.corrections, scores.scores.miou.value == 1) == (count, bool(count))
        assert ("without 3 corrections: --corrected" in scores.predictor.about) == (predictions == remade and not count)
    words = ["evaluate", copy, "--data", remade, "--against", remade, "--out", tmp_path / "report", "--draws", "5"]
    assert main([*map(str, words)]) == 0
    said = f"For 3 of the 5 images, {copy} has the very mask that people made in the labels"
    assert f"\n{said}, so its scores are too high" in capsys.readouterr().out
    page = (tmp_path / "report/evaluation.html").read_text()
    assert f'<div class="warning">\n<p>{said}' in page
    assert "<small>against" not in page  # nobody says that a method made them


def found(folder):
    return [(one.kind, one.level, one.where) for one in check_dataset(folder).findings]


def test_check_finds_what_is_wrong_with_reviews(pets):
    assert found(pets) == []
    mask = pets / "reviewed/000003.1.png"
    data = mask.read_bytes()
    mask.write_bytes(encode_mask(np.zeros((64, 64), np.uint8)))
    assert found(pets) == [("mask", "error", "reviewed/000003.1.png")]
    mask.unlink()
    assert found(pets) == [("mask", "error", "reviewed/000003.1.png")]
    mask.write_bytes(data)
    (pets / REVIEWS).write_text("{}\n" + (pets / REVIEWS).read_text())
    assert [one[:2] for one in found(pets)] == [("structure", "error")]


def test_a_corrected_mask_that_somebody_changed_is_used_by_nothing(pets):
    (pets / "reviewed/000003.1.png").write_bytes(encode_mask(np.full((64, 64), 3, np.uint8)))
    store = Store(pets, by="")
    for use in (lambda: Dataset.open(pets).stats(), lambda: store.labels(store.state(3))):
        with user_error(r"000003.1.png: is not the corrected mask that was saved"):
            use()


def test_a_mask_outside_the_set_is_refused(pets, tmp_path):
    (tmp_path / "secret.png").write_bytes((pets / "masks/000000.png").read_bytes())
    line = json.loads((pets / REVIEWS).read_text().splitlines()[2]) | {"mask": "../secret.png"}
    (pets / REVIEWS).write_text(json.dumps(line) + "\n")
    with pytest.raises(Exception, match="leads out of"):
        open_native(pets)
    assert ("row", "error", "row 4") in found(pets)
