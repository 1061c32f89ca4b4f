"""A page for the embedded model on a free CPU: classes in; picture, heat maps, masks and label map out.

pip install -r recipes/space/requirements.txt
python recipes/space/app.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import seediff
from seediff.drawing.overlays import overlay
from seediff.files.label_maps import voc_palette

HOW = {"num_inference_steps": 8, "guidance_scale": 2.5}
"""The embedded model's own values."""


def draw(words: str, seed: float) -> tuple[Image.Image, list[tuple[Image.Image, str]], Image.Image, str]:
    """The picture of classes (with commas), a heat map of each, the masks over the picture, and the file of the label
    map: 0 background, then the classes. Raises UserError."""
    classes = [word.strip() for word in words.split(",") if word.strip()]
    if not classes:
        raise seediff.UserError("words", "are missing", "such as: dog, car")
    pipe = seediff.load_model("mini", scheduler="euler-a").pipe
    prompt = "a photo of " + " and ".join(f"a {name}" for name in classes)
    with seediff.capture(pipe) as seen:
        image = pipe(prompt, **HOW, generator=torch.Generator().manual_seed(int(seed))).images[0]
    labels = seen.masks(*classes).label_map
    heat = [(seen.heatmap(name).over(), name) for name in classes]
    file = Path(tempfile.mkdtemp(), "masks.png")
    picture = Image.fromarray(labels)
    picture.putpalette(voc_palette())
    picture.save(file)
    masks = overlay(np.asarray(image), labels)
    return image, heat, Image.fromarray(masks), str(file)


def page() -> Any:
    import gradio  # pyright: ignore[reportMissingImports]

    def answer(words: str, seed: float) -> Any:
        try:
            return draw(words, seed)
        except seediff.UserError as error:
            raise gradio.Error(str(error)) from error

    outputs = [gradio.Image(label="picture"), gradio.Gallery(label="heat maps"), gradio.Image(label="masks"),
               gradio.File(label="label map")]  # fmt: skip
    inputs = [gradio.Textbox("dog, car", label="classes, with commas"), gradio.Number(2, precision=0, label="seed")]
    return gradio.Interface(answer, inputs, outputs, title="SeeDiff", flagging_mode="never")


if __name__ == "__main__":
    page().launch()
