"""Sprites of the embedded world: which emoji shows which class, and where the art comes from.

The repository holds no art. The other commands of `python -m recipes.mini` read it from a folder that `art` fills with
package managers: Fluent Emoji 3D from npm (training and held-out scenes), and Noto Color Emoji from Debian (the "shift"
scenes, in which another vendor draws the same things).
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seediff.errors import UserError
from seediff.files.image_files import open_image
from seediff.files.outputs import stage_output
from seediff.files.reading import read_lines

FLUENT = "@lobehub/fluent-emoji-3d@1.1.0"
NOTO = "fonts-noto-color-emoji"
NOTO_SIZE = 109  # the only bitmap size in Noto Color Emoji


@dataclass(frozen=True)
class Sprite:
    """One drawing: VOC class, name, Unicode code points, split, box of the object in it (fractions), and phrase for
    captions.
    """

    class_name: str
    name: str
    codepoint: str
    split: str  # "train", or "held": never seen in training
    box: tuple[float, float, float, float]
    phrase: str  # the spoken class and words that distinguish this drawing; empty if it is never captioned


@lru_cache
def sprite_table() -> tuple[Sprite, ...]:
    """The sprites of the world, from `sprites.tsv` beside this file."""
    path = Path(__file__).parent / "sprites.tsv"
    rows = csv.DictReader(read_lines(path), delimiter="\t")
    whole = "0 0 1 1"
    return tuple(
        Sprite(
            r["class"],
            r["name"],
            r["codepoint"],
            r["split"],
            tuple(float(v) for v in (r["box"] or whole).split()),  # type: ignore[arg-type]
            r["phrase"] or "",
        )
        for r in rows
    )


def load_sprite(art: Path, sprite: Sprite, vendor: str) -> np.ndarray:
    """The sprite as (h, w, 4) uint8, cropped to its box (Fluent only) and then to its visible pixels.

    Raises UserError if the art folder lacks it or nothing of it is visible.
    """
    if vendor == "noto":
        image = _noto_image(art, sprite)
    else:
        path = art / "fluent" / f"{sprite.codepoint}.webp"
        if not path.is_file():
            raise UserError(f"{path} is missing: fetch the art with `python -m recipes.mini art --out {art}`")
        with open_image(path) as opened:
            image = opened.convert("RGBA")
    x0, y0, x1, y1 = sprite.box
    # The box cuts scenery that one vendor draws with the object; another vendor's drawing is taken whole.
    if vendor == "fluent":
        w, h = image.size
        image = image.crop((round(x0 * w), round(y0 * h), round(x1 * w), round(y1 * h)))
    visible = image.getchannel("A").point([0] * 9 + [255] * 247).getbbox()  # alpha of at least 9
    if visible is None:
        raise UserError(f"{sprite.name} ({vendor}) has no visible pixels")
    return np.asarray(image.crop(visible))


def _noto_image(art: Path, sprite: Sprite) -> Image.Image:
    font_path = art / "noto" / "NotoColorEmoji.ttf"
    if not font_path.is_file():
        raise UserError(f"{font_path} is missing: fetch the art with `python -m recipes.mini art --out {art}`")
    font = ImageFont.truetype(str(font_path), NOTO_SIZE)
    # Variation selectors and skin-tone sequences need a shaping library: the shift set uses single code points.
    text = chr(int(sprite.codepoint.split("-")[0], 16))
    image = Image.new("RGBA", (150, 150), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((7, 7), text, font=font, embedded_color=True)
    return image


def fetch_art(out: Path, vendors: tuple[str, ...] = ("fluent", "noto")) -> list[Path]:
    """Fetch the art with npm and apt, each vendor's into a folder of `out`, unless that exists. Returns these
    folders.
    """
    made = []
    for vendor in vendors:
        target = out / vendor
        if target.is_dir():
            made.append(target)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            fetched = _fetch_fluent(Path(scratch)) if vendor == "fluent" else _fetch_noto(Path(scratch))
            with stage_output(target) as part:
                shutil.copytree(fetched, part, dirs_exist_ok=True)
        made.append(target)
    return made


def _run(*words: str, cwd: Path) -> None:
    if shutil.which(words[0]) is None:
        raise UserError(f"{words[0]} is needed to fetch the art and is not installed")
    subprocess.run(words, cwd=cwd, check=True)


def _fetch_fluent(scratch: Path) -> Path:
    _run("npm", "pack", "--silent", FLUENT, cwd=scratch)
    archive = next(scratch.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(scratch, filter="data")
    return scratch / "package" / "assets"


def _fetch_noto(scratch: Path) -> Path:
    _run("apt-get", "download", NOTO, cwd=scratch)
    package = next(scratch.glob("*.deb"))
    _run("dpkg", "-x", str(package), str(scratch / "noto"), cwd=scratch)
    return next((scratch / "noto").rglob("NotoColorEmoji.ttf")).parent
