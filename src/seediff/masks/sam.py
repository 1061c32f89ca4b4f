"""Outlines from a segment-anything model (SAM or SAM 2), which soft masks prompt.

Each connected piece of a class's mask becomes a prompt: its box, its highest position, and the soft mask itself. If
SAM's mask overlaps the piece enough, it replaces the piece. Nothing is random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from ..errors import UserError, foreign_errors
from ..models.hub import Address, fetch_file, fetch_weights, path_or_address
from ..models.libraries import import_transformers
from ..models.no_code import check_parts
from ..models.weights import load_checked
from .arithmetic import resize

SAM_CLASSES = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}
"""`model_type` in config.json → transformers' class. SAM 2's folders name the video model, which contains the model for
pictures."""
LARGEST_SIDE = 2048
"""Maximum side in pixels at which a model sees pictures: twice the side of the published models."""
AGREE = 0.5
"""SAM's mask replaces a piece if their IoU is at least this."""
SMALLEST = 0.002
"""A piece with a smaller share of the picture stays as it is."""
EDGE = 0.01
"""Values are kept this far from 0 and 1, so that their logits are finite."""


@lru_cache(maxsize=1)
@torch.no_grad()
def load_sam(name: str) -> Any:
    """The SAM model in float32 on the CPU, after a test on a small picture. name: a folder or hub id; no code in it is
    run. Raises UserError if the model cannot be loaded or its answers are not numbers."""
    transformers = import_transformers()
    file = f"{name}/model.safetensors"
    fix = f"name a model in transformers' format of model_type {', '.join(SAM_CLASSES)}"
    place = path_or_address(name)
    if isinstance(place, Address):
        fetch_file(place.hub_id, "config.json", "mask.sam")
    elif place is not None and not (place / "model.safetensors").is_file():
        raise UserError("mask.sam", f"{name}: must be a folder with config.json and model.safetensors", fix)
    weights = fetch_weights("mask.sam", file).absolute()
    folder = weights.parent
    check_parts([folder])
    with foreign_errors("mask.sam", f"{name}: its config.json cannot be used", fix):
        kind = SAM_CLASSES[transformers.AutoConfig.from_pretrained(str(folder), trust_remote_code=False).model_type]
        options = {"local_files_only": True, "dtype": torch.float32}
        network = load_checked(getattr(transformers, kind), str(folder), "", f"mask.sam: {name}", [weights], **options)
        problem = _problem_in_use(network.eval())
    if problem:
        raise UserError("mask.sam", f"{name}: {problem}", fix)
    return network


def _problem_in_use(network: Any) -> str:
    """Why a SAM model cannot be used on a small picture; "" if it can."""
    side = network.config.prompt_encoder_config.image_size
    if not 0 < side <= LARGEST_SIDE:
        return f"image_size = {side} of its prompt_encoder_config must be from 1 to {LARGEST_SIDE}"
    blank = torch.zeros(6, 8, dtype=torch.float32, device="cpu")
    logits = prompt_sam(network, np.zeros((6, 8, 3), np.uint8))(blank, blank == 0)
    if not logits.isfinite().all():
        return "its answers are not numbers"
    return ""


@torch.no_grad()
def refine_by_sam(image: np.ndarray, soft: torch.Tensor, name: str, thresholds: Sequence[float]) -> torch.Tensor:
    """Soft masks (C, H, W) in which each piece has SAM's outline, if SAM's mask overlaps it enough.

    image: (H, W, 3) uint8. soft: the masks before. name: the model's, as for `load_sam`. thresholds: for each class,
    the lowest value of its pixels. Inside SAM's outline, the class's values are at least this threshold."""
    answer = prompt_sam(load_sam(name).to(soft.device), image)
    best = soft.argmax(0)
    refined = soft.clone()
    for index, (values, value) in enumerate(zip(soft, thresholds, strict=True)):
        threshold = min(max(value, EDGE), 1 - EDGE)
        middle = math.log(threshold / (1 - threshold))  # the threshold's logit, which is 0 for SAM
        pieces, count = ndimage.label(((best == index) & (values >= threshold)).cpu().numpy())  # type: ignore[misc]
        for number in range(1, count + 1):
            piece = torch.from_numpy(pieces == number).to(soft.device)
            if piece.float().mean() >= SMALLEST:
                logits = answer(values.logit(EDGE) - middle, piece)
                outline = logits >= 0
                if (piece & outline).sum() >= AGREE * (piece | outline).sum():
                    refined[index] = torch.where(piece | outline, torch.sigmoid(logits + middle), refined[index])
    return refined


def prompt_sam(network: Any, image: np.ndarray) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A function that asks SAM about a picture, which SAM sees only once. The function takes the logits (H, W) of a
    mask and one piece of the mask, (H, W) bool. It returns SAM's logits (H, W) for this piece.

    network: from `load_sam`. image: the picture (H, W, 3) uint8."""
    from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    settings = network.config.prompt_encoder_config
    height, width = image.shape[:2]
    side = settings.image_size
    patch = settings.patch_size
    mask_side = 4 * side // patch  # SAM takes masks with 4 × 4 values for each patch of the picture

    # A picture of (high, wide) is resized to the square of this side.
    high, wide = height, width  # SAM 2 sees the picture squeezed into the square
    if network.config.model_type == "sam":  # SAM sees it in proportion, in the square's upper left corner
        high = wide = max(height, width)
    margins = (0, wide - width, 0, high - height)  # left, right, above, below
    constants = image, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    pixels, mean, std = (torch.tensor(values, dtype=torch.float32, device=network.device) for values in constants)
    pixels = F.pad(((pixels / 255 - mean) / std).permute(2, 0, 1), margins)[None]
    embeddings = network.get_image_embeddings(F.interpolate(pixels, (side, side), mode="bilinear", antialias=True))

    def answer(prompt: torch.Tensor, piece: torch.Tensor) -> torch.Tensor:
        inside = piece.nonzero()  # (pixels, 2): y, x
        corners_and_highest = torch.stack([inside.amin(0), inside.amax(0), inside[prompt[piece].argmax()]])
        points = (corners_and_highest * side / inside.new_tensor((high, wide))).flip(1)  # (3, 2): x, y in the square
        mask = F.pad(prompt, margins, value=float(prompt.min()))[None, None]  # (1, 1, high, wide)
        output = network(
            image_embeddings=embeddings,
            input_boxes=points[:2].reshape(1, 1, 4),  # images, boxes, (left, top, right, bottom)
            input_points=points[None, None, 2:],  # (1, 1, 1, 2): images, boxes, points, (x, y)
            input_labels=inside.new_ones(1, 1, 1),  # 1: the point belongs to the object
            input_masks=resize(mask, (mask_side, mask_side)),
            multimask_output=False,
        )
        return resize(output.pred_masks[0, 0, 0], (high, wide))[:height, :width]

    return answer
