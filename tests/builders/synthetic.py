"""A small dataset of noise and discs, for the report's tests and for anyone who wants to look at a page."""

import numpy as np

from seediff.dataset.encoding import encode_image, encode_mask

CLASSES = ("dog", "cat", "potted plant")


def disc(side, centre, radius):
    """(side, side) float: from 1 at the centre of the disc to 0 at 1.5 radii. centre, radius: in [0, 1]."""
    at = (np.arange(side) + 0.5) / side
    distance = np.hypot(at[:, None] - centre[0], at[None] - centre[1])
    return np.clip(1.5 - distance / radius, 0, 1.5) / 1.5


def draw(index, label, side):
    """The image and label map of sample `index`, with one object."""
    rng = np.random.default_rng(index)
    centre, radius = tuple(rng.uniform(0.35, 0.65, 2)), float(rng.uniform(0.12, 0.3))
    inside = disc(side, centre, radius) > 1 / 3
    image = np.full((side, side, 3), rng.integers(60, 220, 3), np.float64)
    image[inside] = rng.integers(30, 230, 3)
    image += rng.normal(0, 8, image.shape)
    return image.clip(0, 255).astype(np.uint8), np.where(inside, label, 0).astype(np.uint8)


def write_dataset(out, count, classes=CLASSES, side=64):
    """Write images and masks to `out`, with classes in turn; returns the rows. Every seventh sample is flagged."""
    (out / "images").mkdir(parents=True)
    (out / "masks").mkdir()
    rows = []
    for index in range(count):
        name = classes[index % len(classes)]
        image, label_map = draw(index, index % len(classes) + 1, side)
        (out / f"images/{index:06d}.png").write_bytes(encode_image(image, "png"))
        (out / f"masks/{index:06d}.png").write_bytes(encode_mask(label_map))
        rows.append(
            {
                "file_name": f"images/{index:06d}.png",
                "mask_file_name": f"masks/{index:06d}.png",
                "prompt": f"a photo of a {name}",
                "classes": [name],
                "seed": 1000 + index,
                "flags": [f"degenerate:{name}"] if index % 7 == 6 else [],
                "area": {name: float((label_map > 0).mean())},
            }
        )
    return rows
