"""Masks by a segment-anything model (SAM or SAM 2), prompted by soft masks: their pieces become whole objects with sharp outlines.

Each connected piece of a class's mask is a prompt: its box, the highest positions inside it, the lowest positions in and around the box,
and the soft mask itself. If SAM's mask overlaps the piece enough, it replaces the piece; otherwise the soft mask stays as it is. Nothing is
random, so the same soft masks give the same result.

The model is a local folder in transformers' format, with safetensors; no code from the folder is run, and nothing is downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from ..errors import UserError, first_line
from ..files.documents import read_json
from ..files.messages import printable, shown
from ..files.reading import SETTINGS
from ..files.tensors import read_header
from ..models.hub import path_of
from ..models.trust import OWN_ATTENTION, check_parts
from .arithmetic import resize

KINDS = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}
"""`model_type` in config.json → transformers' class. SAM 2's published folders name the video model, which contains the image model."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of RGB in the training images of both models."""
AGREE = 0.5
"""Minimum IoU of a piece and SAM's mask at which the mask replaces the piece."""
SMALLEST = 0.002
"""Share of the picture below which a piece is left as it is."""
POINTS = 3
"""Maximum number of points inside, and of points outside."""
MARGIN = 0.25
"""Points outside are taken from the box widened at every edge by this share of its side."""
EDGE = 0.01
"""Soft values are kept this far from 0 and 1 before they become logits."""


def check_sam(folder: str) -> str:
    """transformers' class of the model in a folder. Raises UserError for anything but SAM or SAM 2 with safetensors and without code."""
    path = _path(folder)
    if not (path / "config.json").is_file() or not (path / "model.safetensors").is_file():
        raise UserError(f"sam = {folder}", "is no folder with config.json and model.safetensors", "name one of SAM or SAM 2")
    check_parts(path.parent, [path.name])
    read_header(path / "model.safetensors")
    kind = read_json(path / "config.json", dict[str, Any], limit=SETTINGS).get("model_type")
    if kind not in KINDS:
        raise UserError(f"sam = {folder}", f"model_type = {shown(kind)}, but SAM is one of {', '.join(KINDS)}", "name another folder")
    return KINDS[kind]


def _path(folder: str) -> Path:
    return path_of(f"sam = {folder}", folder, "name one of SAM or SAM 2").absolute()


@lru_cache(maxsize=1)
def load_sam(folder: str, device: str) -> Any:
    """The model, in float32. Raises UserError as `check_sam`, and if weights are missing or cannot be loaded."""
    kind = check_sam(folder)
    import transformers

    try:
        network, info = getattr(transformers, kind).from_pretrained(
            str(_path(folder)),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **OWN_ATTENTION,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"sam = {folder}", f"cannot be loaded: {printable(first_line(error))[:200]}", "download it again") from error
    if info["missing_keys"]:
        raise UserError(f"sam = {folder}", f"its weights lack {min(info['missing_keys'])}", "download it again")
    return network.to(device).eval()


@torch.no_grad()
def refine_by_sam(image: np.ndarray, soft: torch.Tensor, folder: str, thresholds: Sequence[float]) -> torch.Tensor:
    """Soft masks (C, H, W) in which every piece that SAM agrees with has SAM's outline. image: (H, W, 3) uint8. thresholds: for each class,
    the lowest value at which a pixel belongs to it; inside SAM's mask the new values reach it. Raises UserError as `load_sam`."""
    network = load_sam(folder, str(soft.device))
    sight = Sight(network, image, soft.device)
    winners = soft.argmax(0)
    refined = soft.clone()
    for index, (values, value) in enumerate(zip(soft, thresholds, strict=True)):
        threshold = min(max(value, EDGE), 1 - EDGE)
        mask = ((winners == index) & (values >= threshold)).cpu().numpy()
        pieces, count = ndimage.label(mask)  # type: ignore[misc]
        for number in range(1, count + 1):
            piece = pieces == number
            if piece.mean() < SMALLEST:
                continue
            logits = sight.answer(values, piece, threshold)
            answer, there = logits >= 0, torch.from_numpy(piece).to(soft.device)
            if (answer & there).sum() >= AGREE * (answer | there).sum():
                changed = answer | there
                refined[index] = torch.where(changed, torch.sigmoid(logits + logit(threshold)), refined[index])
    return refined


class Sight:
    """SAM's embeddings of one picture, and its answers to prompts."""

    def __init__(self, network: Any, image: np.ndarray, device: torch.device) -> None:
        self.network = network
        prompts = network.config.prompt_encoder_config
        self.side, self.mask_side = prompts.image_size, 4 * prompts.image_size // prompts.patch_size
        self.size = image.shape[:2]
        square = network.config.model_type != "sam"  # SAM pads the picture to a square; SAM 2 squeezes it into one
        self.seen = (self.side, self.side) if square else tuple(max(1, round(side * self.side / max(self.size))) for side in self.size)
        pixels = torch.tensor(image, device=device).permute(2, 0, 1)[None].float() / 255
        pixels = F.interpolate(pixels, self.seen, mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
        self.embeddings = network.get_image_embeddings(self._padded((pixels - mean) / std))

    def answer(self, values: torch.Tensor, piece: np.ndarray, threshold: float) -> torch.Tensor:
        """SAM's logits (H, W) for a piece (H, W) of a soft mask (H, W); its mask is where they are at least 0."""
        rows, columns = np.flatnonzero(piece.any(1)), np.flatnonzero(piece.any(0))
        box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        points, labels = prompt_points(values.cpu().numpy(), piece, box)
        device, scale = values.device, torch.tensor([self.seen[1] / self.size[1], self.seen[0] / self.size[0]])
        corners = torch.tensor([[box[1], box[0]], [box[3] - 1, box[2] - 1]], dtype=torch.float32)
        prompt = (values.clamp(EDGE, 1 - EDGE)).logit() - logit(threshold)
        prompt = self._padded(F.interpolate(prompt[None, None], self.seen, mode="bilinear"), float(prompt.min()))
        said = self.network(
            image_embeddings=self.embeddings,
            input_points=(torch.tensor(points, dtype=torch.float32) * scale)[None, None].to(device),
            input_labels=torch.tensor(labels)[None, None].to(device),
            input_boxes=(corners * scale).reshape(1, 1, 4).to(device),
            input_masks=resize(prompt, (self.mask_side, self.mask_side)),
            multimask_output=False,
        ).pred_masks[0, 0, :1]
        whole = resize(said, (self.side, self.side))[:, : self.seen[0], : self.seen[1]]
        return F.interpolate(whole[None], self.size, mode="bilinear")[0, 0]

    def _padded(self, maps: torch.Tensor, value: float = 0.0) -> torch.Tensor:
        """Maps (1, C, h, w) padded on the right and below to the model's side."""
        return F.pad(maps, (0, self.side - maps.shape[3], 0, self.side - maps.shape[2]), value=value)


def prompt_points(values: np.ndarray, piece: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, list[int]]:
    """Points (P, 2) as (x, y), and their labels: 1 for the highest positions in a piece (H, W), 0 for the lowest positions outside it, in
    and around its box (top, left, bottom, right). Points with one label are more than a quarter of the box's mean side apart."""
    top, left, bottom, right = box
    radius = max(1.0, math.sqrt((bottom - top) * (right - left)) / 4)
    around = np.zeros_like(piece)
    high, wide = round(MARGIN * (bottom - top)) + 1, round(MARGIN * (right - left)) + 1
    around[max(0, top - high) : bottom + high, max(0, left - wide) : right + wide] = True
    inside = spread_out(np.where(piece, values, -np.inf), radius)
    outside = spread_out(np.where(around & ~piece, -values, -np.inf), radius)
    return np.array([(x, y) for y, x in [*inside, *outside]]), [1] * len(inside) + [0] * len(outside)


def spread_out(values: np.ndarray, radius: float) -> list[tuple[int, int]]:
    """Up to POINTS positions (y, x), the highest first (the first if several are equal), none within `radius` of another or at −inf."""
    values = values.copy()
    y, x = np.ogrid[: values.shape[0], : values.shape[1]]
    places: list[tuple[int, int]] = []
    while len(places) < POINTS and values.max() > -np.inf:
        row, column = (int(part) for part in np.unravel_index(values.argmax(), values.shape))
        places.append((row, column))
        values[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = -np.inf
    return places


def logit(share: float) -> float:
    return math.log(share / (1 - share))
