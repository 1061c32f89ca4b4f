"""A stand-in for the model: images and attention that depend only on the specs and take milliseconds."""

import zlib

import numpy as np
import torch

from seediff.attention.maps import AttentionMaps

LATENT_SIDE = 8
IMAGE_SIDE = 32


def fake_draw(specs):
    """One disc per image and class. Every pixel depends on the whole batch, as by rounding, so that a wrong batch gives
    other bytes.
    """
    together = zlib.crc32(repr([(s.index, s.seed) for s in specs]).encode())
    return [fake_image(spec, together) for spec in specs], [fake_maps(spec) for spec in specs]


def fake_image(spec, together=0):
    """(IMAGE_SIDE, IMAGE_SIDE, 3) uint8: a noisy background with the discs of `fake_maps` on it."""
    rng = np.random.default_rng([spec.seed, together])
    image = rng.integers(90, 110, (IMAGE_SIDE, IMAGE_SIDE, 3), np.uint8)
    for number, disc in enumerate(discs(spec, IMAGE_SIDE)):
        image[disc] = (220, 30 + 40 * number, 30)
    return image


def fake_maps(spec):
    """Cross-attention that is high on the class's disc, and self-attention within discs and within the background."""
    words = {name: (number + 1,) for number, name in enumerate(spec.classes)}
    selves, crosses = {}, {}
    for side in (LATENT_SIDE, LATENT_SIDE // 2, LATENT_SIDE // 4):
        masks = [torch.from_numpy(disc.reshape(-1)) for disc in discs(spec, side)]
        label = sum(((n + 1) * mask.long() for n, mask in enumerate(masks)), torch.zeros(side * side, dtype=torch.long))
        alike = (label[:, None] == label[None]).float() + 0.01
        selves[side, side] = alike / alike.sum(1, keepdim=True)
        cross = torch.full((side * side, len(masks) + 2), 0.05)
        for number, mask in enumerate(masks):
            cross[:, number + 1] += 0.5 * mask
        crosses[side, side] = cross
    return AttentionMaps(selves, crosses, (LATENT_SIDE, LATENT_SIDE), words, spec.prompt)


def discs(spec, side):
    """(side, side) bool per class: a disc, and rings around it for further classes, centred by the seed. Empty if the
    seed is a multiple of 3, so that maps are constant."""
    if spec.seed % 3 == 0:
        return [np.zeros((side, side), bool) for _ in spec.classes]
    centre = np.random.default_rng(spec.seed).uniform(0.3, 0.7, 2)
    grid = (np.arange(side) + 0.5) / side
    far = (grid[:, None] - centre[0]) ** 2 + (grid[None] - centre[1]) ** 2
    rings = [(0.09 * n, 0.09 * (n + 1)) for n in range(len(spec.classes))]
    return [(far >= low) & (far < high) for low, high in rings]
