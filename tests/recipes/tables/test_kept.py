import json

from recipes.tables.stored_results import open_kept


def scores(miou):
    classes = {"cat": {"iou": miou, "iou_ci95": [0.1, 0.9]}, "dog": {"iou": None, "iou_ci95": None}}
    groups = {"objects": {"miou": miou, "miou_ci95": [0.25, 0.75]}}
    return {
        "miou": miou,
        "miou_ci95": [0, 1],
        "pixel_accuracy": 1.0,
        "pixel_accuracy_ci95": [1, 1],
        "groups": groups,
        "per_class": classes,
    }


TABLE = {
    "table": "main",
    "test_keys": {"held_out": "t1"},
    "rows": [
        {
            "name": "a",
            "segmenters": ["s1", "s2"],
            "seconds": [5.0, 6.0],
            "tests": {"held_out": [scores(0.5), scores(0.6)]},
        }
    ],
}


def write(folder, table):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(table if isinstance(table, str) else json.dumps(table))


def test_tables_below_a_folder_are_read(tmp_path):
    write(tmp_path / "studies" / "one", TABLE)
    write(tmp_path / "studies" / "truth", {"set": "truth"})  # another study's results
    write(tmp_path / "more", {**TABLE, "test_keys": {"held_out": "t2"}})
    kept = open_kept(tmp_path / "work", [tmp_path / "studies", tmp_path / "more"])
    assert kept.scores("s1", "t1") == scores(0.5)
    assert kept.scores("s2", "t1") == scores(0.6)
    assert kept.scores("s2", "t2") == scores(0.6)
    assert kept.scores("s3", "t1") is None
    assert kept.seconds("s2") == 6.0
    # What was measured here comes first.
    kept.add_scores("s1", "t1", scores(0.7))
    kept.add_seconds("s1", "training", 9)
    assert (kept.scores("s1", "t1"), kept.seconds("s1")) == (scores(0.7), 9)
