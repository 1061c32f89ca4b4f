"""Writes photographs of several shapes and formats, for the commands that read them."""

import numpy as np
from PIL import Image


def scene_photo(number, height=96, width=128):
    """(H, W, 3) uint8: a bright disc on a plain dark background, in colours that depend on `number`, with a little
    noise.
    """
    rng = np.random.default_rng(number)
    ground, disc = rng.integers(0, 110, 3), rng.integers(140, 255, 3)
    y, x = np.mgrid[:height, :width]
    inside = (y - height * 0.5) ** 2 + (x - width * 0.45) ** 2 < (min(height, width) * 0.3) ** 2
    image = np.where(inside[..., None], disc, ground) + rng.normal(0, 4, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def write_photos(folder, count=5):
    """Write PNG and JPEG photographs of several shapes: 0.png, 1.jpg, 2.png, …, and one in a subfolder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        height, width = [(96, 128), (128, 96), (100, 100), (60, 150), (33, 47)][number % 5]
        image = Image.fromarray(scene_photo(number, height, width))
        if number % 2:
            image.save(folder / f"{number}.jpg", quality=95)
        else:
            image.save(folder / f"{number}.png")
    (folder / "trip").mkdir(exist_ok=True)
    Image.fromarray(scene_photo(99)).save(folder / "trip" / "last.png")
    return folder
