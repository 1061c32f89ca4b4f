from dataclasses import replace

import pytest
from damage import refusal
from shapes import items

from seediff.config.train import make_config
from seediff.train.data import Stage
from seediff.train.record import LOSSES, State, add_losses, model_card, read_losses, start_losses

STAGE = Stage(items(6), ("cat", "dog"), steps=2)
TINY = make_config({"backbone": "tiny"})


def test_rows_of_a_killed_run_are_dropped(tmp_path):
    path = tmp_path / LOSSES
    start_losses(path, 0)
    for step in (1, 2, 3):
        losses = {"class": 1.0, "mask": 2.0, "dice": 0.5}
        add_losses(path, step, "train", 1e-3 / 3, losses, 7.0, 0.25 if step == 2 else None)
    with path.open("a") as file:
        file.write("4,tra")  # half a line
    start_losses(path, 2)
    add_losses(path, 3, "finetune", 1e-3, {"class": 4.0}, 1.0, None)
    rows = read_losses(path)
    assert [row["stage"] for row in rows] == ["train", "train", "finetune"]
    assert (rows[1]["loss"], rows[1]["miou"], rows[1]["auxiliary"]) == ("3.5", "0.2500", "")
    assert (rows[2]["mask"], rows[0]["learning_rate"]) == ("", "0.000333333")


def test_card():
    one = State(best=0.5, best_step=1)
    card = model_card(TINY, [STAGE], one, [{"miou": "0.5"}, {"miou": ""}], 2_900_000)
    assert "Validation mIoU, with the background: **0.5000**" in card
    assert "cat, dog." in card
    assert "2.9 million parameters" in card
    rows = [{"miou": ""}, {"miou": "0.8"}, {"miou": "0.6"}, {"miou": "0.7"}]
    stages = [STAGE, replace(STAGE, name="finetune")]
    card = model_card(TINY, stages, State(best=0.7, best_step=4), rows, 1)
    assert "Weights of step 4, the best of 2 measured in stage finetune." in card
    assert "No validation set was given" in model_card(TINY, [STAGE], State(), [{"miou": ""}], 1)


@pytest.mark.parametrize("row", [b"x,train", b'1,"', b"1,train,\xe9", b"1," + b"x" * 200_000])
def test_rows_that_are_none_are_named_before_a_training_goes_on(tmp_path, row):
    file = tmp_path / LOSSES
    file.write_bytes(b"step\n" + row + b"\n")
    assert refusal(lambda: start_losses(file, 1), file)
    assert file.read_bytes() == b"step\n" + row + b"\n"
