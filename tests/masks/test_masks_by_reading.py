"""Readings: the same in NumPy float64, one layer alone, the fit's conditions, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.errors import UserError
from seediff.files.outputs import write_tensors
from seediff.masks.make import make_masks, soft_mask
from seediff.masks.reading import RIDGE, About, Reading, fit
from seediff.masks.steps import Step

NAMES = ("cross.fine", "cross.coarse", "walk1.own", "walk2.own")


def layered() -> AttentionMaps:
    """Maps of two classes, with a self- and a cross-attention layer at 8 × 8 and a coarser cross-attention layer."""
    draw = torch.Generator().manual_seed(3)
    own = torch.rand(64, 64, generator=draw) ** 8
    fine, coarse = torch.rand(64, 5, generator=draw), torch.rand(16, 5, generator=draw)
    apart = {"self_layers": {(8, 8): {"own": own}}, "cross_layers": {(8, 8): {"fine": fine}, (4, 4): {"coarse": coarse}}}
    return AttentionMaps({(8, 8): own}, {(8, 8): fine, (4, 4): coarse}, (8, 8), {"dog": (1,), "cat": (2, 3)}, **apart)


def saved(path: Path, weights: list[list[float]], bias: float = 0.25, names: tuple[str, ...] = NAMES) -> MaskConfig:
    Reading(About(names, "mini"), torch.tensor(weights), bias).save(path)
    return MaskConfig(reading=str(path), pamr=False)


def enlarged(values: np.ndarray) -> np.ndarray:
    """(4, 4) → (8, 8), bilinear with aligned pixel edges."""
    at = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    low = np.minimum(at.astype(int), 2)
    weights = np.zeros((8, 4))
    weights[np.arange(8), low], weights[np.arange(8), low + 1] = 1 - (at - low), at - low
    return weights @ values @ weights.T


def reference(maps: AttentionMaps, columns: tuple[int, ...]) -> np.ndarray:
    (_, fine), (_, coarse) = ((grid, next(iter(by.values())).double().numpy()) for grid, by in maps.cross_layers.items())
    own = maps.self_layers[8, 8]["own"].double().numpy()
    rows = [fine[:, list(columns)].mean(1).reshape(8, 8), enlarged(coarse[:, list(columns)].mean(1).reshape(4, 4))]
    walk = own / own.sum(1, keepdims=True)
    start = np.mean(rows, 0).ravel()
    rows += [(walk @ start).reshape(8, 8), (walk @ walk @ start).reshape(8, 8)]
    return np.stack([(row - row.min()) / (row.max() - row.min()) for row in rows])


def test_it_is_the_reference_in_numpy(tmp_path: Path) -> None:
    maps, weights = layered(), [[1.0, -2.0, 3.0, 0.5], [-1.0, 0.25, -2.0, 0.0]]
    config = saved(tmp_path / "own.safetensors", weights)
    dog, cat = reference(maps, (1,)), reference(maps, (2, 3))
    logit = np.tensordot(weights[0], dog, 1) + np.tensordot(weights[1], cat, 1) + 0.25
    np.testing.assert_allclose(soft_mask(maps, "dog", config).soft.numpy(), 1 / (1 + np.exp(-logit)), atol=1e-6)


def test_one_layer_alone_is_its_map(tmp_path: Path) -> None:
    maps = layered()
    config = saved(tmp_path / "own.safetensors", [[0.0, 4.0, 0.0, 0.0], [0.0] * 4], bias=-2.0)
    alone = reference(maps, (1,))[1]
    np.testing.assert_allclose(soft_mask(maps, "dog", config).trace[Step("layers weighed")].numpy(), alone, atol=1e-6)
    labels = make_masks(None, maps, ["dog"], config, size=(8, 8)).label_map
    assert (labels == (alone >= 0.5))[np.abs(alone - 0.5) > 1e-6].all()


def test_the_fit_is_where_the_loss_has_no_slope() -> None:
    draw = np.random.default_rng(0)
    rows, sizes = draw.random((400, 3)) * [1, 5, 0], draw.random(400)
    targets = 1 / (1 + np.exp(-(4 * rows[:, 0] - rows[:, 1] - 1))) > draw.random(400)
    weights, bias = fit(torch.tensor(rows), torch.tensor(targets), torch.tensor(sizes))
    share = sizes / sizes.sum()
    wrong = share * (1 / (1 + np.exp(-(rows @ weights.numpy() + bias))) - targets)
    spread = np.sqrt(share @ (rows - share @ rows) ** 2)
    np.testing.assert_allclose(wrong.sum(), 0, atol=1e-6)
    np.testing.assert_allclose((wrong @ rows)[:2], -(2 * RIDGE * weights.numpy() * spread**2)[:2], atol=1e-6)
    assert weights[2] == 0


def file(path: Path, maps: object = NAMES, weights: object = None, **about: object) -> None:
    tensors = {"weights": torch.zeros(2, 4) if weights is None else weights, "bias": torch.zeros(1)}
    write_tensors(path, tensors, {"reading": json.dumps({"maps": maps, **about})})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"weights": torch.full((2, 4), torch.nan)}, "not finite"),
        ({"weights": torch.zeros(2, 3)}, "must be F32"),
        ({"weights": torch.zeros(2, 4, dtype=torch.float64)}, "must be F32"),
        ({"maps": ["cross.fine"] * 4}, "twice"),
        ({"maps": ["walk1.own"]}, "no cross-attention"),
        ({"maps": ["cross.../x", *NAMES[1:]]}, "maps"),
        ({"maps": []}, "maps"),
        ({"maps": ["cross.other", *NAMES[1:]]}, "cross.other"),
        ({"maps": ["cross.own", *NAMES[1:]]}, "cross.own"),
        ({"maps": ["cross.coarse", "walk1.fine", *NAMES[2:]]}, "walk1.fine"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, bad: dict[str, object], said: str) -> None:
    file(tmp_path / "bad.safetensors", **bad)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said) as caught:
        soft_mask(layered(), "dog", MaskConfig(reading=str(tmp_path / "bad.safetensors")))
    assert "\n" not in str(caught.value)


def test_what_is_no_reading_and_maps_without_layers_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "maps.safetensors", {"self.8": torch.zeros(64, 64)}, {"seediff": "{}"})
    with pytest.raises(UserError, match="no file of a reading"):
        soft_mask(layered(), "dog", MaskConfig(reading=str(tmp_path / "maps.safetensors")))
    config, maps = saved(tmp_path / "own.safetensors", [[1.0] * 4] * 2), layered()
    together = AttentionMaps(maps.self_attention, maps.cross_attention, (8, 8), maps.words)
    with pytest.raises(UserError, match="apart"):
        soft_mask(together, "dog", config)
