import json

import numpy as np
import pytest
import torch
from PIL import Image
from scenes_of_objects import CLASSES, touching
from shapes import items, small

from seediff import cli
from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import Instances
from seediff.dataset.sample import Sample
from seediff.dataset.store import write_native
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate
from seediff.train.data import Stage, augment, batches, segments
from seediff.train.loss import LossWeights, set_losses
from seediff.train.predict import divided, load_segmenter
from seediff.train.run import check_stages, train


def learning(**given):
    return small(**({"task": "instance", "learning_rate": 3e-3, "jitter": 0.0, "scale": (1.0, 1.0), "warmup": 0, "clip": 1.0} | given))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "segmenter"
    samples = [touching(i) for i in range(8)]
    train(learning(), [Stage(samples, CLASSES, steps=60)], out, workers=0)
    return out


def test_objects_are_segments():
    numbers = np.array([[1, 1, 2, 0, 0], [1, 3, 2, 2, 0]], np.uint16)
    labels = np.array([[2, 2, 1, 1, 0], [2, 255, 1, 1, 0]], np.uint8)
    sample = Sample(np.zeros((2, 5, 3), np.uint8), labels, Instances(numbers, (2, 1, 1)), name="s")
    ids, classes = segments(sample, labels)
    # By class, then as they come; a pixel of class 1 that is of no object is ignored, as 255 is.
    assert ids.tolist() == [[2, 2, 1, 255, 0], [2, 255, 1, 1, 0]]
    assert classes.tolist() == [0, 1, 2]


def test_crops_carry_objects():
    """Segments are cropped, scaled and mirrored with the picture: each object keeps its colour."""
    config = learning(scale=(0.7, 1.4))
    stage = Stage([touching(i) for i in range(4)], CLASSES, steps=5)
    for batch in batches(stage, 0, config, workers=0):
        assert batch.classes is not None
        assert batch.classes.tolist() == [[0, 1, 1][: batch.classes.shape[1]]] * 4 or batch.classes[:, 1].tolist() == [1] * 4
        for image, ids in zip(batch.images.astype(int), batch.labels, strict=True):
            red, blue = image[..., 0] > image[..., 2] + 60, image[..., 2] > image[..., 0] + 60
            shown = [number for number in (1, 2) if (ids == number).any()]
            for number in shown:
                assert max(red[ids == number].mean(), blue[ids == number].mean()) > 0.85
            assert len(shown) <= 1 or red[ids == 1].mean() != pytest.approx(red[ids == 2].mean(), abs=0.5)


def test_same_class_twice_takes_two_queries():
    """Logits that are right for two objects of a class have a small loss, and one mask for both a large one; as classes it is the other
    way round."""
    ids = torch.zeros(1, 16, 16, dtype=torch.long)
    ids[:, 4:12, 2:8], ids[:, 4:12, 8:14] = 1, 2
    classes = torch.tensor([[0, 1, 1]])
    weights = LossWeights(2.0, 5.0, 5.0, 0.1, points=256)
    apart = torch.stack([20.0 * (ids == number) - 10 for number in range(3)], 1)
    together = torch.stack([20.0 * (ids == 0) - 10, 20.0 * (ids > 0) - 10, torch.full(ids.shape, -10.0)], 1)
    logits = {"apart": torch.tensor([[0, 1, 1]]), "together": torch.tensor([[0, 1, 2]])}
    scores = {name: 10 * torch.nn.functional.one_hot(of, 3).float() for name, of in logits.items()}
    loss = {
        (name, task): sum(set_losses(masks, scores[name], *target).values()).item()
        for name, masks in (("apart", apart), ("together", together))
        for task, target in (("instance", (ids, weights, classes)), ("semantic", (ids.clamp(max=1), weights)))
    }
    assert loss["apart", "instance"] < 0.1 < 1 < loss["together", "instance"]
    assert loss["together", "semantic"] < 0.1 < 1 < loss["apart", "semantic"]


def test_classes_are_segments_by_default():
    generator = torch.Generator().manual_seed(0)
    masks, scores = torch.randn(2, 6, 8, 8, generator=generator), torch.randn(2, 6, 4, generator=generator)
    labels = torch.randint(3, (2, 16, 16), generator=generator)
    results = []
    for classes in (None, torch.tensor([[0, 1, 2]] * 2)):
        torch.manual_seed(1)
        results.append(set_losses(masks, scores, labels, LossWeights(2.0, 5.0, 5.0, 0.1, points=64), classes))
    assert results[0] == results[1]


def test_proposals_become_objects():
    """Two halves of class 1, a hidden duplicate of the first, an unsure one, and a disc where the label map has none."""
    label_map = np.zeros((8, 12), np.uint8)
    label_map[1:7, 1:11] = 1
    masks = torch.full((6, 8, 12), -8.0)
    masks[0, 1:7, 1:6], masks[1, 1:7, 6:11], masks[2, 1:7, 1:6], masks[3, 2:4, 2:4], masks[4, 0, 0] = 8.0, 2.0, 7.0, 9.0, 8.0
    masks[5] = -masks[:2].amax(0)
    classes = torch.tensor([1, 1, 1, 1, 2, 0])
    logits = torch.full((6, 4), -3.0)
    logits[torch.arange(6), classes] = torch.tensor([3.0, 3, 2.5, -3, 3, 3])
    found = divided(logits, masks, label_map)
    sure = np.exp(3) / (np.exp(3) + 3 * np.exp(-3))
    assert found.class_ids == (1, 1)
    assert found.scores == pytest.approx([sure / (1 + np.exp(-8)), sure / (1 + np.exp(-2))])
    expected = np.zeros((8, 12), int)
    expected[1:7, 1:6], expected[1:7, 6:11] = 1, 2
    assert np.array_equal(found.numbers, expected)
    nothing = divided(torch.full((2, 4), 0.0), masks[:2], label_map)
    assert (nothing.numbers.max(), nothing.class_ids) == (0, ())


def reference(class_logits, mask_logits, labels):
    """`divided`, pixel by pixel in float64."""
    exp = np.exp(class_logits.double().numpy())
    chances, masks = exp / exp.sum(1, keepdims=True), 1 / (1 + np.exp(-mask_logits.double().numpy()))
    classes, best = chances.argmax(1), chances.max(1)
    sure = [q for q in range(len(classes)) if classes[q] < chances.shape[1] - 1 and best[q] > 0.5]
    pixels = list(np.ndindex(labels.shape))
    wins = {p: max(sure, key=lambda q: best[q] * masks[q][p]) for p in pixels if sure}
    clear = {q: [p for p in pixels if masks[q][p] >= 0.5] for q in sure}
    kept = [q for q in sure if clear[q] and sum(wins[p] == q for p in clear[q]) >= 0.8 * len(clear[q])]
    wins = {p: max(kept, key=lambda q: best[q] * masks[q][p]) for p in pixels if kept}
    own = {q: [p for p in wins if wins[p] == q and classes[q] == labels[p]] for q in kept}
    shown = [q for q in kept if classes[q] and own[q]]
    numbers = np.zeros(labels.shape, int)
    for number, q in enumerate(shown, 1):
        for p in own[q]:
            numbers[p] = number
    return numbers, classes[shown].tolist(), [best[q] * np.mean([masks[q][p] for p in clear[q]]) for q in shown]


def test_proposals_by_reference():
    counts = []
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        quarters = 3 * torch.randn(7, 3, 3, generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2) - 2
        masks = quarters + torch.randn(7, 12, 12, generator=generator)
        logits = 4 * torch.randn(7, 4, generator=generator)
        labels = torch.randint(3, (12, 12), generator=generator).numpy().astype(np.uint8)
        found, (numbers, class_ids, scores) = divided(logits, masks, labels), reference(logits, masks, labels)
        assert np.array_equal(found.numbers, numbers)
        assert list(found.class_ids) == class_ids
        assert found.scores == pytest.approx(scores, abs=1e-6)
        counts.append(len(class_ids))
    assert {0, 1, 2} <= set(counts)


def test_learns_to_tell_objects_apart(folder, tmp_path, capsys):
    about = json.loads((folder / "config.json").read_text())
    assert about["task"] == "instance"
    samples = [touching(i) for i in range(8)]
    write_native(tmp_path / "truth", CLASSES, samples, about={})
    photos = [str(tmp_path / "truth" / "images" / f"o{i}.png") for i in range(8)]
    assert cli.main(["predict", str(folder), *photos, "--out", str(tmp_path / "predicted"), "--quiet"]) == 0
    predicted = Dataset.open(tmp_path / "predicted")
    assert [sample.name for sample in predicted] == [sample.name for sample in samples]
    segmenter = load_segmenter(folder, "cpu")
    for sample in predicted:
        objects = sample.instances
        assert len(objects.scores) == len(objects.class_ids)
        assert (objects.label_map() == sample.label_map)[objects.numbers > 0].all()
        assert np.mean(segmenter.label_maps([sample.image])[0] == sample.label_map) > 0.99
    assert cli.main(["check", str(tmp_path / "predicted")]) == 0
    scores = tmp_path / "scores.json"
    assert cli.main(["evaluate", str(tmp_path / "predicted"), "--data", str(tmp_path / "truth"), "--json", str(scores), "--quiet"]) == 0
    assert "Objects: AP " in capsys.readouterr().out
    stored = json.loads(scores.read_text())["objects"]
    of_segmenter = evaluate(folder, tmp_path / "truth", boundary=False, draws=10, device="cpu").objects
    assert vars(of_segmenter) == pytest.approx(stored, abs=0.05)
    assert of_segmenter.ap50 > 0.5


def test_same_bytes_with_threads_and_after_a_stop(tmp_path, monkeypatch):
    stage = Stage([touching(i) for i in range(4)], CLASSES, steps=3)
    train(learning(accumulate=2), [stage], tmp_path / "whole", workers=2)

    def stop(steps):
        if steps == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(learning(accumulate=2), [stage], tmp_path / "stopped", workers=0, save_every=2, keep=stop)
    train(learning(accumulate=2), [stage], tmp_path / "stopped", workers=0)
    for name in ("model.safetensors", "losses.csv", "config.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_weights_of_objects_for_classes(folder, tmp_path):
    """The task is that of the last training, not of its first weights."""
    stage = Stage(items(4), CLASSES, steps=1)
    train(small(weights=str(folder)), [stage], tmp_path / "out", workers=0)
    assert "task" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert load_segmenter(tmp_path / "out", "cpu").task == "semantic"
    about = json.loads((tmp_path / "out" / "config.json").read_text())
    (tmp_path / "out" / "config.json").write_text(json.dumps({**about, "model_type": "segformer", "task": "instance"}))
    with pytest.raises(UserError, match="task = 'instance' must be 'semantic' for a segformer"):
        load_segmenter(tmp_path / "out")


def test_what_is_refused(tmp_path):
    with pytest.raises(UserError, match="task = 'instance': segformer only tells classes apart; use mask2former"):
        small(task="instance", architecture="segformer")
    with pytest.raises(UserError, match="stage 'train': none of its 3 samples has objects; make the dataset with `--objects pieces`"):
        check_stages([Stage(items(3), CLASSES, steps=1)], objects=True)
    wrong = touching(0).replace(instances=Instances(np.zeros((3, 3), np.uint16), ()))
    with pytest.raises(UserError, match=r"sample 'o0': instances are \(3, 3\)"):
        check_stages([Stage([touching(1), wrong], CLASSES, steps=1)], objects=True)


def test_padding_is_ignored():
    ids = np.ones((64, 64), np.uint8)
    _, cropped = augment(Image.new("RGB", (64, 64)), Image.fromarray(ids), np.random.default_rng(0), learning(scale=(0.5, 0.5)))
    assert set(np.unique(cropped)) == {1, 255}
