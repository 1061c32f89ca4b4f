"""How far rows of self-attention lie apart that belong together, and that do not: what a DiffSeg threshold has to divide.

    python benchmarks/row_divergences.py --scenes 60

Of each tuning scene pairs of positions are drawn at random within an object, within the ground, across the two, and across two objects;
their rows of the aggregated map (the paper's weights) are compared as DiffSeg does, by symmetric KL divergence in nats. Positions are of
what most of their pixels show.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from seediff.attention.photograph import capture_clean, encode_images
from seediff.mini.world.packaged import load_scenes
from seediff.mini.world.scene import Scene
from seediff.models.registry import Model, load_model
from seediff.segments.aggregate import aggregate
from seediff.segments.divergence import symmetric_kl

KINDS = ("object and ground", "within an object", "within the ground", "object and object")
PAIRS = 500
"""Of a scene and kind, at most."""
TIMESTEP = 300
"""The paper's, of the noise-free latents."""


def divergences(model: Model, scene: Scene, rng: np.random.Generator) -> dict[str, np.ndarray]:
    latents = encode_images(model, [scene.image])
    (seen,) = capture_clean(model, latents, timestep=TIMESTEP, kind="self")
    rows = aggregate(seen.self_attention, seen.latent_size, "proportional")
    owner = majority(scene.label_map, seen.latent_size).ravel()
    apart = symmetric_kl(rows, rows).cpu().numpy()
    first, second = np.triu_indices(len(owner), 1)
    a, b = owner[first], owner[second]
    of = {
        "object and ground": (a == 0) != (b == 0),
        "within an object": (a == b) & (a > 0),
        "within the ground": (a == 0) & (b == 0),
        "object and object": (a != b) & (a > 0) & (b > 0),
    }
    found = {}
    for kind in KINDS:
        pairs = np.flatnonzero(of[kind])
        some = rng.choice(pairs, min(PAIRS, len(pairs)), replace=False)
        found[kind] = apart[first[some], second[some]]
    return found


def majority(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label that most pixels of each position have; the lower one of two."""
    height, width = (side // count for side, count in zip(label_map.shape, size, strict=True))
    blocks = label_map.reshape(size[0], height, size[1], width).transpose(0, 2, 1, 3).reshape(*size, -1)
    labels = np.unique(label_map)
    return labels[np.stack([(blocks == label).sum(-1) for label in labels]).argmax(0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--scenes", type=int, default=60)
    options = parser.parse_args()
    rng, model = np.random.default_rng(0), load_model(options.model)
    with torch.inference_mode():
        found = [divergences(model, scene, rng) for scene in load_scenes("tune", options.scenes)]
    print("| divergence of two rows | 10 % | median | 90 % |\n|---|---|---|---|")
    for kind in KINDS:
        low, middle, high = np.quantile(np.concatenate([one[kind] for one in found]), (0.1, 0.5, 0.9))
        print(f"| {kind} | {low:.2f} | {middle:.2f} | {high:.2f} |")


if __name__ == "__main__":
    main()
