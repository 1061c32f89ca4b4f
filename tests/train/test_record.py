from shapes import CLASSES, items

from seediff.train.record import LOSSES, add_losses, draw_losses, read_losses, start_losses
from seediff.train.stages import Stage


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


def test_the_image_of_losses_is_by_epoch_with_a_chart_of_validation_if_there_was_one(tmp_path, monkeypatch):
    drawn = []

    monkeypatch.setattr("seediff.train.record.line_charts", lambda *given: drawn.append(given))
    stages = [Stage(items(8), CLASSES, steps=500), Stage(items(4), CLASSES, steps=2, name="finetune")]
    path = tmp_path / LOSSES
    start_losses(path, 0)
    for step in range(1, 503):
        stage = stages[step > 500].name
        add_losses(path, step, stage, 1e-3, {"class": float(step)}, 1.0, 0.25 if step in (500, 502) else None)
    draw_losses(read_losses(path), stages, 4)
    ((charts, label, borders),) = drawn
    losses, measured = charts["losses"], charts["mIoU of validation, %"]
    assert ([*losses], label) == (["loss", "class"], "epochs; the line is the beginning of stage finetune")
    epochs, values = losses["class"]
    assert (len(epochs), epochs[0], epochs[-1]) == (200, 1.5, 252.0)  # of three steps, of half an epoch each
    assert (values[0], values[-1]) == (2.0, 501.5)
    assert borders == [250.0]
    assert [one.tolist() for one in measured["mIoU"]] == [[250.0, 252.0], [25.0, 25.0]]
    start_losses(path, 3)
    draw_losses(read_losses(path), stages[:1], 4)
    assert [*drawn[1][0]] == ["losses"]
