from recipes.tables.results import figure, summarised


def scores(miou):
    return {
        "miou": miou,
        "miou_ci95": [miou - 0.02, miou + 0.02],
        "pixel_accuracy": 0.9,
        "pixel_accuracy_ci95": [0.8, 1.0],
        "groups": {"unseen": {"miou": 0.5, "miou_ci95": [0.4, 0.6]}},
        "per_class": {"Human": {"iou": 0.3, "iou_ci95": [0.2, 0.4]}},
    }


CA, MINE = {"held_out": [scores(0.5), scores(0.6)]}, {"held_out": [scores(0.7), scores(0.7)]}
ROWS = [
    {"name": "CA", "paper": {"miou": 68.8}, "seconds": [30.0, 30.0], "tests": CA},
    {"name": "mine & yours", "paper": {}, "seconds": [15.0, 15.0], "tests": MINE},
]
RESULT = {"metrics": ["miou"], "seeds": [0, 1], "rows": ROWS}


def test_figures():
    first, second = summarised(RESULT)
    told = [first[key] for key in ("mean", "lowest", "highest", "ci95", "paper")]
    assert told == [55.0, 50.0, 60.0, [53.0, 57.0], 68.8]
    assert second["paper"] is None
    assert figure(scores(0.5), "unseen") == (0.5, [0.4, 0.6])
    assert figure(scores(0.5), "human") == (0.3, [0.2, 0.4])
    assert figure(scores(0.5), "Pixel_Accuracy")[0] == 0.9
    assert figure(scores(0.5), "mIoU")[0] == 0.5
