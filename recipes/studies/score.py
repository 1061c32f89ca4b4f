"""Scores settings on captured scenes. Masks that settings share are made once, and one sweep covers all thresholds.

Shape letters: S settings, C classes of a scene, T thresholds, P (image, class) pairs of all scenes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.methods import CaptureConfig
from seediff.masks.make_masks import enlarge, refine, soft_mask
from seediff.masks.steps import SoftMask
from seediff.metrics.scores import Estimate, draw_counts
from seediff.mini import CLASS_IDS, Scene
from seediff.view import View

from .capture import Captured
from .settings import Setting


def small_masks(
    classes: Sequence[str], maps: Mapping[CaptureConfig, AttentionMaps], settings: Sequence[Setting]
) -> dict[Setting, torch.Tensor]:
    """Soft masks (C, R, R), by the `without_refinement` of every setting: settings that differ only in later steps
    share one.
    """
    wanted = dict.fromkeys(s.without_refinement for s in settings)
    return {
        bare: torch.stack([soft_mask(maps[bare.capture], name, bare.config).soft for name in classes])
        for bare in wanted
    }


def soft_masks(
    image: np.ndarray, classes: Sequence[str], maps: Mapping[CaptureConfig, AttentionMaps], settings: Sequence[Setting]
) -> torch.Tensor:
    """Soft masks (S, C, H, W) of every setting at the image's size, after PAMR if the setting has it."""
    return refined_masks(image, small_masks(classes, maps, settings), settings)


def refined_masks(
    image: np.ndarray, small: Mapping[Setting, torch.Tensor], settings: Sequence[Setting]
) -> torch.Tensor:
    """The result of `soft_masks`, from the `small_masks` of these settings (or of more). PAMR runs once for all
    settings with the same PAMR constants, so that its weights are computed once."""
    view = View.whole(image.shape, image)
    bare = [(s.without_refinement, s.config.compete) for s in settings]
    before = {
        (plain, compete): enlarge([SoftMask(one) for one in small[plain]], view, replace(plain.config, compete=compete))
        for plain, compete in dict.fromkeys(bare)
    }
    out = torch.stack([before[one] for one in bare])
    alike: dict[tuple[Any, ...], list[int]] = {}
    for index, setting in enumerate(settings):
        if setting.config.pamr:
            alike.setdefault((setting.config.pamr_iterations, setting.config.pamr_dilations), []).append(index)
    for rows in alike.values():
        together = refine(view, out[rows].flatten(0, 1), settings[rows[0]].config)
        out[rows] = together.unflatten(0, (len(rows), -1))
    return out


def winners(soft: torch.Tensor) -> torch.Tensor:
    """(…, C, H, W): soft masks with each pixel's highest class kept (the first if several are equal) and the others
    zero, ready for a threshold."""
    highest = soft.amax(-3)
    taken = torch.zeros_like(highest, dtype=torch.bool)
    kept = torch.empty_like(soft)
    for index, of_class in enumerate(
        soft.unbind(-3)
    ):  # a few classes: several times faster than an argmax over a strided dimension
        wins = (of_class == highest) & ~taken
        taken |= wins
        torch.mul(of_class, wins, out=kept.select(-3, index))
    return kept


def sweep(
    soft: torch.Tensor, exact: torch.Tensor, betas: Sequence[float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intersections and unions (S, C, T), in pixels, of soft ≥ β with the exact masks, for every β at once.

    soft (S, C, H, W) as `winners` gives it; exact (C, H, W) bool; betas rising, above 0.
    """
    settings, classes = soft.shape[:2]
    thresholds = torch.as_tensor(np.asarray(betas), dtype=torch.float32, device=soft.device)
    exact = exact.to(soft.device)
    passed = torch.bucketize(soft, thresholds, right=True, out_int32=True)  # how many thresholds each value reaches
    row = torch.arange(settings * classes, device=soft.device, dtype=torch.int32).view(settings, classes, 1, 1)
    cells = passed.add_(row * (len(thresholds) + 1)).mul_(2).add_(exact)
    counts = torch.bincount(cells.flatten(), minlength=settings * classes * (len(thresholds) + 1) * 2)
    counts = (
        counts.view(settings, classes, -1, 2)[:, :, 1:].flip(2).cumsum(2).flip(2)
    )  # pixels that reach each threshold
    intersections = counts[..., 1]
    unions = counts.sum(-1) + exact.flatten(1).sum(1)[:, None] - intersections
    return intersections.cpu().numpy(), unions.cpu().numpy()


def exact_masks(scene: Scene) -> torch.Tensor:
    """(C, H, W) bool, in the order of the scene's classes; label maps hold VOC's ids."""
    return torch.from_numpy(np.stack([scene.label_map == CLASS_IDS[c] for c in scene.classes]))


def label_map(masks: torch.Tensor) -> np.ndarray:
    """(C, H, W) bool that do not overlap → (H, W) uint8, 0 = background, i + 1 = mask i."""
    return (masks * torch.arange(1, len(masks) + 1).view(-1, 1, 1)).sum(0).to(torch.uint8).numpy()


@dataclass(frozen=True)
class Scores:
    """The results of every setting on every (image, class) pair.

    intersections, unions: (S, P) pixels. classes, images: (P,) the pair's class, and its image's index.
    """

    intersections: np.ndarray
    unions: np.ndarray
    classes: tuple[str, ...]
    images: np.ndarray

    def iou(self, setting: int) -> np.ndarray:
        """(P,) IoU of every pair; 1 if the predicted and the exact mask are both empty."""
        intersections, unions = self.intersections[setting], self.unions[setting]
        return np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)

    def summary(self, setting: int) -> dict[str, Any]:
        """Figures of one setting. iou: mean over (image, class) pairs, ci95 its bootstrap interval over images."""
        return self._mean(self.iou(setting))

    def ahead(self, setting: int, other: int) -> dict[str, Any]:
        """By how much a setting's mean IoU is above another's, with the paired 95 % bootstrap interval over images."""
        return self._mean(self.iou(setting) - self.iou(other))

    def _mean(self, values: np.ndarray) -> dict[str, Any]:
        """The mean of values (P,), and its interval, drawing whole images with replacement."""
        _, owner = np.unique(self.images, return_inverse=True)
        sums, counts = np.bincount(owner, values), np.bincount(owner).astype(np.float64)
        times = np.concatenate([*draw_counts(len(counts), seed=0, draws=2000)])
        mean = Estimate("IoU", float(values.mean()), (times @ sums) / (times @ counts), len(counts))
        ends = [None if np.isnan(end) else round(end, 4) for end in mean.ci95]
        return {"iou": round(mean.value, 4), "ci95": ends}


def score(items: Iterable[Captured], settings: Sequence[Setting]) -> Scores:
    """Run every setting at its own threshold, a number, on every captured scene."""
    thresholds = torch.tensor([float(s.config.beta) for s in settings]).view(-1, 1, 1, 1)
    columns: list[tuple[np.ndarray, np.ndarray]] = []
    about: list[tuple[str, int]] = []
    for index, scene, maps in items:
        predicted = winners(soft_masks(scene.image, scene.classes, maps, settings)).cpu() >= thresholds
        exact = exact_masks(scene)
        intersections = (predicted & exact).sum((2, 3)).numpy()
        unions = (predicted | exact).sum((2, 3)).numpy()
        for c, name in enumerate(scene.classes):
            columns.append((intersections[:, c], unions[:, c]))
            about.append((name, index))
    stacked = [np.stack(parts, 1) for parts in zip(*columns, strict=True)]
    names, images = zip(*about, strict=True)
    return Scores(*stacked, classes=names, images=np.array(images))
