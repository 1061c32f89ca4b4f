"""The embedded world's sets of scenes with exact masks, which world.py renders and studies measure on.

`truth` and `tune`, half of whose objects are sprites that the embedded model was never trained on; `shift`, another
vendor's art. The first scenes of `truth` are in the package, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seediff.config.class_names import join_classes
from seediff.dataset.sample import Sample
from seediff.dataset.writing import save_native
from seediff.errors import UserError
from seediff.files.label_maps import IGNORE
from seediff.mini import CLASS_IDS, CLASSES, Scene, read_scenes
from seediff.rows.row import Row

PLACES = {  # place: (upper colour, lower colour), RGB
    "on grass": ((150, 200, 240), (95, 165, 70)),
    "on sand": ((165, 215, 245), (225, 200, 145)),
    "in the snow": ((190, 205, 225), (238, 243, 250)),
    "in the city": ((175, 185, 200), (105, 105, 112)),
    "in a room": ((225, 205, 180), (150, 105, 75)),
    "in the sky": ((95, 160, 235), (190, 225, 250)),
    "at night": ((20, 25, 60), (45, 45, 75)),
    "on the water": ((175, 210, 235), (45, 110, 170)),
}
PLACE_WORDS = tuple(place.split()[-1] for place in PLACES)
"""Places in captions: grass, sand, snow …"""
FOLDER = Path(__file__).parent / "measuring"
SETS = ("truth", "shift", "tune")


def caption(names: tuple[str, ...], place: str | None, mirrored: bool = False) -> str:
    """`a photo of a dog and a cat on grass`: a caption as from the commands' templates. names: classes, or phrases that
    contain them.
    """
    photo = "mirrored photo" if mirrored else "photo"
    return f"a {photo} of a {join_classes(names)}" + (f" {place}" if place else "")


def load_set(name: str, count: int | None = None) -> list[Scene]:
    """The first `count` scenes of a set; all of them by default. Raises UserError if there are fewer."""
    if name not in SETS:
        raise UserError(f"scenes '{name}' are not known; known: {', '.join(SETS)}")
    return read_scenes(scenes_file(name), count)


def scenes_file(name: str) -> Path:
    return FOLDER / f"{name}.safetensors"


def dataset_ids(classes: Sequence[str]) -> np.ndarray:
    """(256,) uint8: VOC's id, used in scenes' label maps → the id in a dataset with `classes`; 0 for missing
    classes.
    """
    ids = np.zeros(256, np.uint8)
    ids[IGNORE] = IGNORE
    for number, name in enumerate(classes, 1):
        ids[CLASS_IDS[name]] = number
    return ids


def write_scenes_as_dataset(out: Path, scenes: Iterable[Scene], about: Mapping[str, Any]) -> int:
    """Write scenes as a native dataset with CLASSES, and return their number. Raises UserError if the folder is not
    free.
    """
    ids = dataset_ids(CLASSES)
    items = (
        Sample(s.image, ids[s.label_map], row=Row(prompt=s.caption, classes=tuple(s.classes)), name=f"{index:06d}")
        for index, s in enumerate(scenes)
    )
    return len(save_native(out, CLASSES, items, about={"command": "recipes.mini scenes", **about}))


def pack_blobs(kind: str, blobs: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Pack encoded pictures into two tensors: `kind`, uint8, and `kind.ends`, int64."""
    return {
        kind: np.frombuffer(b"".join(blobs), np.uint8),
        f"{kind}.ends": np.cumsum([len(blob) for blob in blobs], dtype=np.int64),
    }
