"""`Drawn`: the pictures that a pipeline's call drew, what it did to them afterwards, and whether it returned them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import UserError
from .placement import Edits
from .run import returned_images

EDITING = (("vae", "decode"), ("image_processor", "apply_overlay"), ("image_processor", "resize_and_crop_tensor"))
"""(part, method) of pipelines: the methods that draw pictures and edit them. The second pastes a drawn picture into
another picture, the third resizes drawn pictures and cuts off their edges."""
LOOK = 32
"""Pictures are compared as LOOK × LOOK grey values."""
FLAT = 100
"""The length of a look's last number. Pictures whose other grey values vary less than this count as equal."""
ALIKE = 0.97
"""The minimum correlation of a drawn picture and the returned one, which may have another size, brightness or contrast.
It is less if a sixteenth was cut off at each side."""
NEARER = 1e-3
"""If a returned picture is another drawn one, its correlation with that is greater by at least this."""


@dataclass
class Drawn:
    """The pictures that a pipeline's call has drawn since its network last ran."""

    looks: list[np.ndarray] = field(default_factory=list)
    """What each picture looks like now, as `_look`; empty if another way than `vae.decode` draws them."""
    edits: list[Edits] = field(default_factory=list)
    """What was done to each picture."""

    def note(self, name: str, arguments: Mapping[str, Any], output: Any) -> None:
        """Record that a method has drawn or edited pictures. name: the method's name, in EDITING. arguments: its
        arguments, by name. output: what it returned."""
        if name == "decode":
            self.looks += _looks(output if torch.is_tensor(output) else output[0])
            self.edits += [Edits()] * (len(self.looks) - len(self.edits))
            return
        edits = Edits(arguments.get("crop_coords"), name == "resize_and_crop_tensor")
        for look, edited in zip(_looks(arguments.get("image", arguments.get("samples"))), _looks(output), strict=True):
            if not self.looks:
                self.edits.append(edits)
                continue
            alike = self.looks @ look
            number = int(alike.argmax())  # they may be edited in any order
            if alike[number] > ALIKE:
                self.looks[number], self.edits[number] = edited, edits

    def check(self, images: Sequence[np.ndarray], are_frames: bool) -> None:
        """Raise UserError if the returned pictures are not the drawn ones, each in its place and perhaps in another
        size. images: the returned pictures, (H, W, 3) uint8. are_frames: whether they are frames of clips."""
        drawn = self.looks[-len(images) :]  # earlier ones are previews
        if not drawn or not images:
            return
        previews = self.looks[: -len(images)] if are_frames else []
        again = len(previews) == len(drawn) and bool((np.sum(np.multiply(previews, drawn), 1) > ALIKE).all())
        if previews and not again:
            drawn = self.looks  # frames that are not returned
        if len(drawn) == len(images):
            # A safety checker leaves a black picture.
            returned = [_look(image) if image.any() else look for image, look in zip(images, drawn, strict=True)]
            alike = np.array(drawn) @ np.transpose(returned)
            if (alike.diagonal() > np.maximum(alike.max(1) - NEARER, ALIKE)).all():
                return
        problem = "the pipeline did not return what it drew (it pasted, cut, sorted or left out?)"
        raise UserError("picture", problem, "let it return what it draws, and change that after the block")


def _looks(pictures: Any) -> list[np.ndarray]:
    """What each picture looks like. pictures: one picture of Pillow, or what a VAE decodes: (B, 3, H, W), or for clips
    (B, 3, F, H, W), in [−1, 1]."""
    if torch.is_tensor(pictures):
        pictures = (pictures.movedim(1, -3) / 2 + 0.5).clamp(0, 1)
    return [*map(_look, returned_images(pictures))]


def _look(image: np.ndarray) -> np.ndarray:
    """What a picture looks like, (LOOK² + 1,): the product of two such vectors is the correlation of the pictures.
    image: (H, W, 3) uint8."""
    grey = np.asarray(Image.fromarray(image).convert("L").resize((LOOK, LOOK), Image.Resampling.BILINEAR), np.float32)
    look = np.append(grey - grey.mean(), FLAT)
    return look / np.linalg.norm(look)
