import json

import numpy as np
import pytest
from scipy.stats import spearmanr
from small_scenes import half_side

from seediff.study.masks import confidence
from seediff.study.masks.confidence import Masks, as_masks, constants, figures, interval, kept_iou, markdown, run_confidence, spearman


def some(seed=0, pictures=40, noise=0.1) -> Masks:
    rng = np.random.default_rng(seed)
    rows = [(i, rng.random()) for i in range(pictures) for _ in range(1 + i % 3)]
    return as_masks([(i, float(value), float(np.clip(value + noise * rng.normal(), 0, 1))) for i, value in rows])


@pytest.mark.parametrize("seed", range(5))
def test_spearman_is_scipys(seed):
    masks = some(seed, noise=0.3)
    tied = Masks(masks.pictures, masks.confidence.round(1), masks.iou.round(1))
    for one in (masks, tied):
        assert spearman(one) == pytest.approx(spearmanr(one.confidence, one.iou)[0])
    assert spearman(Masks(masks.pictures, np.ones(len(masks.iou)), masks.iou)) == 0


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_pictures_are_dropped_by_their_least_certain_class(share):
    masks = some()
    lowest = {i: min(masks.confidence[masks.pictures == i]) for i in range(40)}
    stays = sorted(lowest, key=lambda i: -lowest[i])[: 40 - round(share * 40)]
    assert kept_iou(masks, share) == pytest.approx(masks.iou[np.isin(masks.pictures, stays)].mean())


@pytest.fixture
def few_draws(monkeypatch):
    monkeypatch.setattr(confidence, "DRAWS", 100)


def test_figures_of_a_confidence_that_knows_and_of_one_that_does_not(few_draws):
    masks = some(noise=0.05)
    good = figures(masks)
    assert good["spearman"][1] > 0.9
    assert good["dropped"]["30%"]["gain"][1] > 0.02
    assert good["dropped"]["0%"]["gain"] == [0, 0, 0]
    assert good["dropped"]["30%"]["best_possible"] >= good["dropped"]["30%"]["iou"][0]
    blind = figures(Masks(masks.pictures, np.random.default_rng(1).permutation(masks.confidence), masks.iou))
    assert blind["spearman"][1] < 0 < blind["spearman"][2]
    assert (good["pairs"], good["pictures"]) == (len(masks.iou), 40)


def test_the_interval_of_a_mean_is_that_of_the_bootstrap():
    rng = np.random.default_rng(0)
    masks = as_masks([(i, 0.5, float(value)) for i, value in enumerate(rng.random(400))])
    value, low, high = interval(masks, lambda one: float(one.iou.mean()), 0)
    half = 1.96 * masks.iou.std() / 20
    assert (value - low, high - value) == (pytest.approx(half, rel=0.1), pytest.approx(half, rel=0.1))


def test_the_study_measures_scenes(mini_folder, tmp_path, monkeypatch, few_draws):
    monkeypatch.setattr("seediff.study.masks.capture.load_scenes", half_side)
    result = run_confidence(3, tmp_path / "out", model=str(mini_folder), json_path=tmp_path / "copy.json", device="cpu")
    assert json.loads((tmp_path / "out/results.json").read_text()) == json.loads((tmp_path / "copy.json").read_text()) == result
    assert {row["pictures"] for row in result["methods"].values()} == {3}
    for name, row in result["methods"].items():
        assert 0 <= row["dropped"]["0%"]["iou"][0] <= 1, name
    assert "| ca_sa |" in (tmp_path / "out/results.md").read_text()
    assert markdown(result).count("\n|") == 2 + 3
    assert constants("mini", "ca")[0].method == "ca"
