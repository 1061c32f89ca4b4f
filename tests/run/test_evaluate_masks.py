import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from layouts import save_map
from photo_set import scene_photo
from PIL import Image
from refusals import user_error

from seediff.cli.main import main
from seediff.config.photos_config import MaskPhotosConfig
from seediff.dataset.dataset import open_truths
from seediff.evaluate.protocols import own
from seediff.evaluate.semantic import evaluate_pairs
from seediff.files.label_maps import read_segment_ids
from seediff.files.photo_files import find_photos
from seediff.mini.scenes import CLASSES
from seediff.run import evaluate_masks as evaluate
from seediff.run.evaluate_masks import evaluate_masks, words_of
from seediff.run.mask_job import mask_photos

CONFIG = MaskPhotosConfig(classes=("object",), model="mini")
SOFT = {"dog": [[0.7, 0.9], [0.6, 0.2]], "cat": [[0.2, 0.1], [0.5, 0.8]], "car": [[0.1, 0.2], [0.7, 0.9]]}


def labelled_set(folder, truths, classes=("background", *SOFT)):
    for number, truth in enumerate(truths):
        save_map(folder / "labels" / f"{number}.png", truth)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(scene_photo(number)).save(folder / "images" / f"{number}.jpg")
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return folder


@pytest.fixture
def made_up(monkeypatch):
    """Instead of a model, the maps and scores above; the words that were captured."""
    captured = []

    def soft_masks(masker, photo, words):
        captured.append(words)
        return torch.tensor([SOFT[word] for word in words])

    monkeypatch.setattr(evaluate, "encode_labelled", lambda masker, index, pixels, truth: SimpleNamespace(truth=truth))
    monkeypatch.setattr(evaluate, "load_masker", lambda config, info: (None, ""))
    monkeypatch.setattr(evaluate, "soft_masks", soft_masks)
    return captured


def test_each_protocol_by_hand(tmp_path, made_up):
    """Truth: background, dog; dog, cat. Half the pictures set the thresholds; all are equal, so these are the scored
    ones' best.
    """
    folder = labelled_set(tmp_path, [[[0, 1], [1, 2]]] * 2)
    truths = open_truths(folder)
    truths.notes = ("2 unlabelled samples left out",)
    scores = evaluate_masks(CONFIG, folder / "images", truths)
    assert "2 unlabelled samples left out." in scores.notes()[0]
    assert (scores.images, scores.tuned_on, scores.never) == (1, 1, ())
    miou = {name: column.miou.value for name, column in scores.protocols.items()}
    # oracle: 0 dog / 0 cat at β above 0.7; vocabulary: 0 dog / 0 car
    assert miou == pytest.approx({"oracle": (1 / 2 + 1 / 2 + 1) / 3, "oracle-ignored": 1, "vocabulary": 1 / 4})
    betas = {name: column.beta for name, column in scores.protocols.items()}
    assert betas == {"oracle": 0.72, "oracle-ignored": None, "vocabulary": 0.72}
    assert math.isnan(scores.protocols["oracle"].per_class["car"].value)
    written = scores.to_json()["protocols"]["oracle"]
    assert written["miou_ci95"] == [None, None]  # of one picture
    assert written["per_class"]["dog"] == {"iou": 1 / 2, "iou_ci95": [None, None], "iou_pictures": 1}
    # The two oracles share a capture.
    assert made_up == [("dog", "cat"), ("dog", "cat", "car")] * 2
    # Equal lists share a capture, and an empty one needs none.
    made_up.clear()
    folder = labelled_set(tmp_path / "more", [[[1, 2], [3, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 0]]])
    how = replace(CONFIG, seed=1), folder / "images", open_truths(folder)
    evaluate_masks(*how, protocols=("oracle", "vocabulary"))
    assert sorted(made_up) == sorted([("dog", "cat", "car"), ("dog", "cat", "car"), ("dog",), ("dog", "cat", "car")])


def test_a_photo_of_other_proportions_is_refused(tmp_path, made_up):
    folder = labelled_set(tmp_path, [[[0, 1], [1, 2]]] * 2)
    height, width = scene_photo(0).shape[:2]
    save_map(folder / "labels" / "1.png", np.ones((width, height // 2), np.uint8))
    with user_error(rf"1\.jpg: is {width} × {height}, but the labels '1' are {height // 2} × "):
        evaluate_masks(CONFIG, folder / "images", open_truths(folder))
    save_map(folder / "labels" / "1.png", np.ones((round(height / 3), round(width / 3)), np.uint8))
    evaluate_masks(CONFIG, folder / "images", open_truths(folder))


def test_words_for_the_prompt():
    data = own(("background", "aeroplane", "Potted Plant", "fox", "vehicle"))
    assert words_of(data, {}, "mini", CLASSES) == {"aeroplane": 1, "pottedplant": 2}
    vehicles = {"car": "vehicle", "bus": "vehicle"}
    assert words_of(data, vehicles, "mini", CLASSES) == {"aeroplane": 1, "pottedplant": 2, "car": 4, "bus": 4}
    assert words_of(own(("fox", "dog")), {}, "owner/models/mine.safetensors", None) == {"fox": 0, "dog": 1}
    with user_error("none of its classes"):
        words_of(own(("background", "fox")), {}, "mini", CLASSES)
    with user_error("which is not in protocol own"):
        words_of(data, {"car": "lorry"}, "mini", CLASSES)


def test_the_command_scores_what_mask_makes(tmp_path, mini_folder, capsys):
    """With the classes of each truth and the same β, `mask` makes the label maps that are scored under `oracle`."""
    truths = []
    for number in range(3):
        truth = np.zeros((96, 128), np.uint8)
        truth[30:70, 30:80] = 1 + number % 2
        truths.append(truth)
    folder = labelled_set(tmp_path / "set", truths, ("background", "dog", "car", "unicorn"))
    path = tmp_path / "scores.json"
    line = f"evaluate masks {folder / 'images'} --labels {folder} --model {mini_folder} --device cpu --timesteps 300"
    assert main([*line.split(), "--quiet", "--draws", "20", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    for text in ("2 pictures scored, 1 others for thresholds", "oracle-ignored", "no word for them: unicorn"):
        assert text in " ".join(out.split())
    scores = json.loads(path.read_text())
    oracle = scores["protocols"]["oracle"]
    assert list(scores["protocols"]) == ["oracle", "oracle-ignored", "vocabulary"]

    how = {"device": "cpu", "timesteps": (300,), "presence": 0.0, "mask": {"beta": oracle["beta"]}}
    config = MaskPhotosConfig.recommended(classes=("dog", "car"), model=str(mini_folder), **how)
    of = {str(number): (("dog", "car")[number % 2],) for number in range(3)}
    result = mask_photos(config, find_photos(folder / "images"), tmp_path / "masked", classes_of=of)
    made = [read_segment_ids(result.out / row.mask_file_name).astype(np.uint8) for row in result.rows]
    scored = np.random.default_rng(0).permutation(3)[1:]
    pairs = [(str(i), made[i], truths[i]) for i in scored]
    compared = evaluate_pairs(pairs, own(("background", "dog", "car")), draws=5)
    assert oracle["miou"] == pytest.approx(compared.miou.value)
