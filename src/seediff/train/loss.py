"""The losses of a network in training. `Trainee` computes them in each step.

SegFormer has the cross entropy of each pixel. Mask2Former has its own loss (`set_losses`), here for label maps: every
class in an image is one mask, matched with one query. In transformers' version of it, an ignored pixel (255) lies
outside all masks, and so teaches the network that no class is there. Here such pixels have no weight, neither when
classes are matched with queries nor in the loss. It is computed at random pixels of the label map, the points.

Letters: B images, H × W pixels, Q queries, C classes with background, P points.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn
from transformers import Mask2FormerForUniversalSegmentation, SegformerForSemanticSegmentation

from ..config.train import TrainConfig
from ..devices import mixed_precision
from ..files.label_maps import IGNORE
from .models import Network, to_pixels

OVERSAMPLE, IMPORTANCE = 3, 0.75
"""A mask's loss is computed at P points. Of OVERSAMPLE · P random pixels, the IMPORTANCE · P pixels at which the mask
is least certain are taken. The other points are drawn at random."""


class Trainee(nn.Module):
    """A network with its losses. Each training step calls it."""

    def __init__(self, network: Network, config: TrainConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.frozen = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and not m.weight.requires_grad]
        self.auxiliary_weight = 0.0
        if config.auxiliary and isinstance(network, Mask2FormerForUniversalSegmentation):
            self.auxiliary_weight = config.auxiliary
            classes = len(network.config.id2label or ())
            channels = network.model.pixel_level_module.encoder.channels[-2:]
            self.auxiliary = nn.ModuleList(nn.Conv2d(c, classes, 1) for c in channels)

    def train(self, mode: bool = True) -> Trainee:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name → weighted loss, a scalar. images: (B, H, W, 3) uint8. labels: (B, H, W) uint8."""
        labels = labels.long()
        mixed = mixed_precision(images.device, self.config.dtype == "bfloat16")
        with mixed:
            pixels = to_pixels(images)
            if isinstance(self.network, SegformerForSemanticSegmentation):
                return {"class": _cross_entropy(self.network(pixel_values=pixels).logits, labels)}
            output = self.network(pixel_values=pixels, output_auxiliary_logits=True, output_hidden_states=True)
        losses: dict[str, Any] = {"class": 0.0, "mask": 0.0, "dice": 0.0}
        present = present_classes(labels)
        for layer in (*output.auxiliary_logits, output):  # deep supervision: every decoder layer has a loss
            logits = layer["masks_queries_logits"], layer["class_queries_logits"]
            layer_losses = set_losses(*logits, labels, present, self.config)
            losses = {name: losses[name] + layer_losses[name] for name in losses}
        if self.auxiliary_weight:
            coarse = labels[:, 2::4, 2::4]  # at the resolution of the proposed masks
            with mixed:
                features = output.encoder_hidden_states[-2:]
                seen = [head(each) for head, each in zip(self.auxiliary, features, strict=True)]
            logits = sum(F.interpolate(scores.float(), coarse.shape[1:], mode="bilinear") for scores in seen)
            losses["auxiliary"] = self.auxiliary_weight * _cross_entropy(logits, coarse)  # type: ignore[arg-type]
        return losses

    def parameter_groups(self) -> list[dict[str, Any]]:
        """AdamW's parameter groups. The backbone has its own learning rate. Norms, embeddings and position tables have
        no weight decay."""
        config = self.config
        undecayed: set[nn.Parameter] = set()
        for module in self.modules():
            if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d, nn.Embedding)):
                undecayed.update(module.parameters(recurse=False))
        prefix = {"mask2former": "network.model.pixel_level_module.encoder.", "segformer": "network.segformer."}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            rate, decay = config.learning_rate, config.weight_decay
            if name.startswith(prefix[config.architecture]):
                rate *= config.backbone_factor
            if parameter in undecayed or "relative_position_bias_table" in name or "position_embedding" in name:
                decay = 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        return [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in groups.items()]


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean cross entropy over all pixels but the ignored ones; 0 if all are ignored. logits: (B, C, h, w) of any
    size. labels: (B, H, W)."""
    logits = F.interpolate(logits.float(), labels.shape[1:], mode="bilinear")
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / (labels != IGNORE).sum().clamp(min=1)


def present_classes(labels: torch.Tensor) -> list[np.ndarray]:
    """The classes in each label map, in rising order, without 255. labels: (B, H, W). Called once for all decoder
    layers, because it waits for the GPU."""
    return [np.setdiff1d(one, IGNORE) for one in labels.cpu().numpy()]


def set_losses(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    labels: torch.Tensor,
    present: Sequence[np.ndarray],
    config: TrainConfig,
) -> dict[str, torch.Tensor]:
    """The weighted losses of one decoder layer: `class`, `mask` and `dice`, scalars. Waits for the GPU once, to match
    classes with queries.

    mask_logits: (B, Q, h, w), of any size. class_logits: (B, Q, C + 1), the last for "no class". labels: (B, H, W)
    int64, 0 … C − 1 or 255. present: the labels' `present_classes`.
    """
    mask_logits, class_logits = mask_logits.float(), class_logits.float()
    images, queries, classes = _match(mask_logits.detach(), class_logits.detach(), labels, present, config)
    return {
        "class": config.class_weight * _class_loss(class_logits, present, images, queries, classes, config.no_object),
        **_mask_losses(mask_logits[images, queries], classes, labels[images], config),
    }


def _sample(logits: torch.Tensor, pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """(N, K, P): the logits at the centres of P pixels, interpolated bilinearly. logits: (N, K, h, w). pixels: (N, P),
    the pixels' numbers, counted row by row in an image of height × width."""
    x = (pixels % width + 0.5) * (2 / width) - 1
    y = (pixels // width + 0.5) * (2 / height) - 1
    return F.grid_sample(logits, torch.stack([x, y], -1)[:, None], align_corners=False)[:, :, 0]


@torch.no_grad()
def _match(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    labels: torch.Tensor,
    present: Sequence[np.ndarray],
    config: TrainConfig,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(images, queries, classes), (M,) int64 each: M pairs of a class in an image with the query that predicts it, so
    that all pairs of an image together cost the least."""
    batch, height, width = labels.shape
    pixels = torch.randint(height * width, (batch, config.points), device=labels.device)
    logits = _sample(mask_logits, pixels, height, width)  # (B, Q, P)
    at = labels.flatten(1).gather(1, pixels)  # (B, P)
    valid = (at != IGNORE).float()
    count = class_logits.shape[-1] - 1
    inside = F.one_hot(at.clamp(max=count), count + 1)[..., :count].float()  # (B, P, C); 255 is in no mask
    outside = valid[..., None] - inside
    total = valid.sum(1).clamp(min=1)[:, None, None]
    # The mean cross entropy of each query with each class, −log p inside and −log(1 − p) outside of it
    cost_mask = (F.softplus(-logits) @ inside + F.softplus(logits) @ outside) / total
    # Dice: 1 − (2 · overlap + 1) / (both areas + 1), as in `_mask_losses`
    shown = logits.sigmoid()
    overlap = shown @ inside
    cost_dice = 1 - (2 * overlap + 1) / ((shown @ valid[..., None]) + inside.sum(1)[:, None] + 1)
    cost_class = -class_logits.softmax(-1)[..., :count]
    cost = (
        (config.mask_weight * cost_mask + config.dice_weight * cost_dice + config.class_weight * cost_class)
        .nan_to_num(1e9, 1e9, -1e9)
        .cpu()
        .numpy()
    )
    pairs = []
    for image, ids in enumerate(present):
        chosen, columns = linear_sum_assignment(cost[image][:, ids])
        pairs.append(np.stack([np.full_like(chosen, image), chosen, ids[columns]]))
    images, queries, classes = torch.from_numpy(np.concatenate(pairs, 1)).to(labels.device)
    return images, queries, classes


def _class_loss(
    logits: torch.Tensor,
    present: Sequence[np.ndarray],
    images: torch.Tensor,
    queries: torch.Tensor,
    classes: torch.Tensor,
    no_object: float,
) -> torch.Tensor:
    """The mean cross entropy between what each query predicts and its matched class. A query without a match should
    predict "no class", and has the weight `no_object`. Images without a labelled pixel are left out.

    logits: (B, Q, C + 1), the last column "no class". present: the classes in each image. images, queries, classes: the
    matches, from `_match`.
    """
    nothing = logits.shape[-1] - 1
    target = torch.full(logits.shape[:2], nothing, dtype=torch.int64, device=logits.device)
    target[images, queries] = classes
    weight = torch.ones_like(logits[..., 0]).masked_fill(target == nothing, no_object)
    weight = weight * weight.new_tensor([len(ids) > 0 for ids in present])[:, None]
    losses = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    return (losses * weight).sum() / weight.sum().clamp(min=1e-6)


def _mask_losses(
    logits: torch.Tensor, classes: torch.Tensor, labels: torch.Tensor, config: TrainConfig
) -> dict[str, torch.Tensor]:
    """The losses `mask` (binary cross entropy) and `dice` of matched masks. logits: (M, h, w). classes: (M,). labels:
    (M, H, W), of the masks' images."""
    height, width = labels.shape[1:]
    labels = labels.flatten(1)
    pixels = _draw_points(logits, labels, height, width, config)
    at = labels.gather(1, pixels)
    valid = (at != IGNORE).float()
    target = (at == classes[:, None]).float()
    drawn = _sample(logits[:, None], pixels, height, width)[:, 0]
    bce = F.binary_cross_entropy_with_logits(drawn, target, reduction="none")
    masks = max(1, len(logits))
    shown = drawn.sigmoid() * valid
    dice = 1 - (2 * (shown * target).sum(1) + 1) / (shown.sum(1) + target.sum(1) + 1)
    return {
        "mask": config.mask_weight * ((bce * valid).sum(1) / valid.sum(1).clamp(min=1)).sum() / masks,
        "dice": config.dice_weight * dice.sum() / masks,
    }


@torch.no_grad()
def _draw_points(
    logits: torch.Tensor, labels: torch.Tensor, height: int, width: int, config: TrainConfig
) -> torch.Tensor:
    """(M, P): the numbers of the pixels at which each mask's loss is computed, mostly those where the mask is least
    certain. logits: (M, h, w). labels: (M, H · W)."""
    drawn = torch.randint(height * width, (len(logits), config.points * OVERSAMPLE), device=logits.device)
    certainty = _sample(logits[:, None], drawn, height, width)[:, 0].abs()
    certainty = certainty.masked_fill(labels.gather(1, drawn) == IGNORE, torch.inf)
    chosen = certainty.topk(int(IMPORTANCE * config.points), largest=False).indices
    rest = torch.randint(height * width, (len(logits), config.points - chosen.shape[1]), device=logits.device)
    return torch.cat([drawn.gather(1, chosen), rest], 1)
