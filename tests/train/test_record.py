from seediff.train.record import LOSSES, add_losses, read_losses, start_losses


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
