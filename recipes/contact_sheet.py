"""Make one picture of a dataset: every image next to a copy with its mask overlaid, labelled with its classes and
sorted by class. With --heat, image, heat map of its class's word, and mask in an outline that stands out; the dataset
needs its attention maps.

    python recipes/contact_sheet.py pets sheet.jpg --columns 4 --side 256

docs/mini.jpg and docs/readme.jpg are made with it; recipes/outputs.toml has the commands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seediff import Dataset
from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.config.names import SEGMENT
from seediff.dataset.sample import Sample
from seediff.drawing.colours import shown_ids
from seediff.drawing.overlays import compress_image, contact_sheet, fit_side, overlay, shrink
from seediff.files.outputs import write_atomic
from seediff.masks.make_masks import enlarge, soft_mask
from seediff.script.heatmap import HeatMap

VIVID = ((255, 0, 200), (0, 240, 255), (255, 230, 0), (60, 255, 60))
"""Colours of outlines: each object gets the one that is farthest from its own."""


def dataset_sheet(dataset: Path, columns: int, side: int) -> np.ndarray:
    """(H, W, 3) uint8: the samples in rows of `columns`; the longer side of an image is at most `side` pixels. Raises
    UserError if the folder is not a finished dataset.
    """
    tiles, labels = [], []
    for sample in sorted(Dataset.open(dataset), key=lambda sample: sample.metadata["class_ids"]):
        ids, numbers = sample.label_map, None
        if sample.instances is not None:
            numbers, named = sample.instances.numbers, set(sample.metadata["classes"]) - {SEGMENT}
            ids = shown_ids(ids, numbers, 1, alone=not named) if SEGMENT in sample.metadata["classes"] else ids
        laid_over = overlay(sample.image, ids, numbers)
        tiles.append(np.hstack([shrink(image, side, Image.Resampling.BOX) for image in (sample.image, laid_over)]))
        labels.append(", ".join(sample.metadata["classes"]))
    return contact_sheet(tiles, columns, labels)


def heat_sheet(dataset: Path, columns: int, side: int) -> np.ndarray:
    """As `dataset_sheet`, three tiles for each sample; its first class counts."""
    tiles, labels = [], []
    for sample in Dataset.open(dataset):
        name = sample.metadata["classes"][0]
        image = fit_side(sample.image, side, Image.Resampling.BICUBIC)
        maps = AttentionMaps.load(dataset / "attention" / f"{sample.name}.safetensors")
        config = MaskConfig(method="ca")
        heat = enlarge(soft_mask(maps, name, config).soft[None], image.shape[:2], config)[0].numpy()
        tiles += [image, np.asarray(HeatMap(heat, name, image).over()), outlined(sample, image)]
        labels += [f"drawn: {sample.metadata['prompt']}", f'heat map of "{name}"', f"mask: {name}"]
    return contact_sheet(tiles, columns, labels)


def outlined(sample: Sample, image: np.ndarray) -> np.ndarray:
    """The image (H, W, 3), darker outside the sample's mask, and around the mask a line three pixels wide."""
    mask = fit_side((sample.label_map > 0).astype(np.uint8), image.shape[0], Image.Resampling.NEAREST).astype(bool)
    colour = max(VIVID, key=lambda vivid: np.linalg.norm(image[mask].mean(axis=0) - vivid))
    wide = torch.nn.functional.max_pool2d(torch.from_numpy(mask).float()[None], 7, 1, 3)[0].numpy() > 0
    drawn = np.where(mask[..., None], image, image // 2)
    drawn[wide & ~mask] = colour
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder that `seediff generate` filled")
    parser.add_argument("out", type=Path, help="JPEG to write")
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--side", type=int, default=128, help="pixels of an image's longer side, at most")
    parser.add_argument("--heat", action="store_true", help="with heat maps")
    given = parser.parse_args()
    sheet = (heat_sheet if given.heat else dataset_sheet)(given.dataset, given.columns, given.side)
    write_atomic(given.out, compress_image(sheet, "JPEG", quality=85, subsampling=0, optimize=True))
    print(f"{given.out}: {sheet.shape[1]} × {sheet.shape[0]} pixels")


if __name__ == "__main__":
    main()
