"""Valid inputs of every kind, as small as possible, from which cases are made.

`build` makes them in a folder, in about ten seconds. Each is a folder or file that a command accepts as it is. Their content is the same
every time, except for the seconds and versions in outputs.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # for the tests' small datasets and models

from builders import layouts, twins  # pyright: ignore[reportMissingImports]

CLASSES = ("dog", "cat", "car")
SHAPE = (32, 40)
"""Height and width of most pictures."""


def build(root: Path, names: Sequence[str] | None = None) -> None:
    """Make the inputs called `names` (None: all) and what they are made from, in a fork, so that no threads stay in this process.

    root: a folder called `in`. Raises RuntimeError if they cannot be made.
    """
    wanted = set(BUILDERS if names is None else names)
    for name, (sources, _) in reversed(BUILDERS.items()):
        wanted |= set(sources) if name in wanted else set()
    for folder in (root, root.parent / "work" / "cwd"):
        folder.mkdir(parents=True, exist_ok=True)
    missing = [make for name, (_, make) in BUILDERS.items() if name in wanted and not (root / name).exists()]
    in_child(lambda: [make(root) for make in missing], root)


def in_child(work: Callable[[], Any], root: Path) -> None:
    """Do `work` in a fork of this process, from `work/cwd` as a case does. Raises RuntimeError if it fails."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(root.parent / "work" / "cwd")
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the valid inputs could not be made")


def run(*words: object) -> None:
    from seediff.cli import main

    os.environ["SEEDIFF_DEBUG"] = "1"
    code = main([str(word) for word in words])
    if code:
        raise RuntimeError(f"seediff {' '.join(map(str, words))}: exit code {code}")


def label_map(number: int, shape: tuple[int, int] = SHAPE, classes: int = len(CLASSES), ignored: bool = True) -> np.ndarray:
    """(H, W) uint8: two boxes of different classes, one of them in an ignored band."""
    rng = np.random.default_rng(number)
    labels = np.zeros(shape, np.uint8)
    for one in range(2):
        top, left = int(rng.integers(1, shape[0] // 2)), int(rng.integers(1, shape[1] // 2))
        if ignored and one == 0:
            labels[top - 1 : top + 11, left - 1 : left + 13] = 255
        labels[top : top + 10, left : left + 12] = 1 + (number + one) % classes
    return labels


def picture(number: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """(H, W, 3) uint8: a disc on a gradient, whose place, colours and direction depend on `number`."""
    rng = np.random.default_rng(1000 + number)
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = rng.uniform(0.2, 0.8, 2) * shape
    disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < (min(shape) / 3) ** 2
    slope = ((x / shape[1], y / shape[0], 1 - x / shape[1], 1 - y / shape[0])[number % 4] * 60)[..., None]
    return np.where(disc[..., None], rng.integers(150, 255, 3), rng.integers(0, 100, 3) + slope).astype(np.uint8)


# Pictures and datasets


def photos(root: Path) -> None:
    folder = root / "photos"
    (folder / "trip").mkdir(parents=True)
    Image.fromarray(picture(0, (64, 64))).save(folder / "0.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    Image.fromarray(picture(1, (48, 64))).save(folder / "1.jpg", exif=exif)
    Image.fromarray(picture(2)).convert("P").save(folder / "trip" / "2.png")
    (folder / "classes.csv").write_text('file,classes\n0.png,dog\n1.jpg,"dog,cat"\ntrip/2.png,\n', encoding="utf-8")


def captions(root: Path) -> None:
    (root / "captions").mkdir()
    (root / "captions" / "captions.csv").write_text('file,caption\n0.png,A dog on the grass.\n1.jpg,"Two cats, a car"\n', encoding="utf-8")
    for name in ("0", "1"):
        (root / "captions" / f"{name}.txt").write_text("A dog and a cat.\n", encoding="utf-8")


def native(root: Path) -> None:
    from seediff.dataset.native import encode_image
    from seediff.dataset.sample import Sample
    from seediff.dataset.store import write_native

    def item(number: int, name: str, suffix: str, row: dict[str, Any]) -> Sample:
        labels = label_map(number)
        kept = extras(root / "extras" / str(number), labels, picture(number))
        return Sample(encode_image(picture(number), suffix), labels, metadata=row, name=name, extras=kept)

    rows = [{"prompt": 'a "dog" <b>', "seed": 2**62, "flags": ["small:dog"]}, {"split": "val"}, {"split": "train", "source": "x/y"}, {}]
    names = (("one", "png"), ("trip/two", "jpg"), ("trip/three", "png"), ("four", "png"))
    items = [item(i, name, suffix, rows[i]) for i, (name, suffix) in enumerate(names)]
    write_native(root / "native", CLASSES, items, about={"command": "import", "format": "made here"})
    shutil.rmtree(root / "extras")


def extras(folder: Path, labels: np.ndarray, image: np.ndarray) -> dict[tuple[str, int | None], Path]:
    """Soft masks of every class, attention and the steps of one mask, in the files that `generate` keeps, made without a network."""
    from safetensors.numpy import save_file

    from seediff.dataset.native import encode_soft
    from seediff.masks.steps import Step
    from seediff.report.saved_steps import StepPicture, TracedSample, save_trace

    folder.mkdir(parents=True)
    found: dict[tuple[str, int | None], Path] = {}
    for number in (int(one) for one in np.unique(labels) if 0 < one < 255):
        found["soft", number] = folder / f"soft{number}.png"
        found["soft", number].write_bytes(encode_soft(np.where(labels == number, 0.9, 0.1)))
    number = min(one for _, one in found if one)
    attention = {"self.4": np.full((16, 16), 1 / 16, np.float32), "cross.4": np.full((16, 3), 0.5, np.float32)}
    about = {"latent_side": 8, "words": {CLASSES[number - 1]: [1]}, "prompt": "a photo", "normalized": True}
    found["attention", None] = folder / "attention.safetensors"
    save_file(attention, found["attention", None], {"seediff": json.dumps(about)})
    name, soft = CLASSES[number - 1], (labels == number).astype(np.float32)
    steps = (StepPicture(Step.parse("attention"), soft[::4, ::4]), StepPicture(Step("seeds"), soft[::4, ::4] > 0))
    maps = {"before_pamr": soft, "after_pamr": soft, "label_map": labels}
    trace = TracedSample(index=0, class_name=name, prompt="a photo", image=image, steps=steps, **maps)
    found["steps", number] = folder / "steps.safetensors"
    save_trace(found["steps", number], trace)
    return found


def exported(kind: str, *options: str, name: str | None = None) -> Callable[[Path], None]:
    return lambda root: run("export", root / "native", "--to", kind, "--out", root / (name or kind), "--quiet", *options)


# Data sets as they are distributed


def devkit(root: Path) -> None:
    base, maps = root / "devkit" / "VOC2012", {f"2007_{number:06d}": label_map(number, classes=20) for number in (1, 2)}
    layouts.add_pictures(layouts.save_voc(base, maps), "JPEGImages", maps, ".jpg")
    listing = base / "ImageSets" / "Segmentation" / "val.txt"
    for part in ("train", "trainval"):
        shutil.copyfile(listing, listing.with_name(f"{part}.txt"))


def cityscapes(root: Path) -> None:
    names = ("bonn/bonn_000000_000019", "ulm/ulm_000001_000019")
    base, maps = root / "cityscapes", {name: 24 + label_map(number, ignored=False) for number, name in enumerate(names)}
    layouts.add_pictures(layouts.save_cityscapes(base, maps), "leftImg8bit/val", maps, "_leftImg8bit.png")
    for name, labels in maps.items():
        layouts.save_map(base / "predicted" / f"{name}.png", labels, palette=False)


def ade20k(root: Path) -> None:
    maps = {f"ADE_val_{number:08d}": label_map(number, classes=150, ignored=False) for number in range(2)}
    layouts.save_ade20k(root / "ade20k", maps)
    for name, labels in maps.items():
        layouts.save_map(root / "ade20k" / "predicted" / f"{name}.png", np.maximum(labels, 1), palette=False)


def camvid(root: Path) -> None:
    layouts.save_camvid(root / "camvid", {str(number): label_map(number, classes=11, ignored=False) for number in range(2)})


def plain(root: Path) -> None:
    """Predictions named like the pictures of `native`, with a list of their classes."""
    for number, name in enumerate(("one", "trip/two", "trip/three", "four")):
        layouts.save_map(root / "plain" / "labels" / f"{name}.png", label_map(number + 1, ignored=False), palette=False)
    (root / "plain" / "classes.txt").write_text("background\ndog\ncat\ncar\n", encoding="utf-8")


def annotated(root: Path) -> None:
    """A small dataset in every format that can only be imported, with pictures and every kind of shape."""
    mask = base64.b64encode(png(label_map(0, (9, 12), ignored=False))).decode()
    corners = [[4, 3], [30, 5.5], [20, 25]]
    kinds = {"polygon": corners, "rectangle": corners[:2], "circle": [[20, 15], [25, 15]], "mask": [[3, 3], [14, 11]], "line": corners[:2]}
    shapes = [{"label": "dog", "points": p, "shape_type": kind, "mask": mask if kind == "mask" else None} for kind, p in kinds.items()]
    documents = {
        "labelme/0.json": {"shapes": shapes, "imagePath": "0.png", "imageData": None},
        "labelme/1.json": {"shapes": shapes[:1], "imagePath": "none.png", "imageData": base64.b64encode(png(picture(1))).decode()},
    }
    folders = ("labelme", "masks/images", "masks/masks")
    for folder in folders:
        (root / "annotated" / folder).mkdir(parents=True)
    for name, document in documents.items():
        (root / "annotated" / name).write_text(json.dumps(document), encoding="utf-8")
    for i in range(2):
        for folder in folders[:-1]:
            (root / "annotated" / folder / f"{i}.png").write_bytes(png(picture(i)))
        layouts.save_map(root / "annotated" / "masks" / "masks" / f"{i}.png", label_map(i))
    (root / "annotated" / "masks" / "classes.txt").write_text("background\ndog\ncat\ncar\n", encoding="utf-8")


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def files(root: Path) -> None:
    """Files that commands take: lists, tables, configurations."""
    folder = root / "files"
    folder.mkdir()
    (folder / "classes.txt").write_text("dog\ncat\ncar\n", encoding="utf-8")
    (folder / "prompts.txt").write_text("a photo of a {class}\na {class} on grass\n", encoding="utf-8")
    (folder / "names.txt").write_text("one\ntrip/two\n", encoding="utf-8")
    (folder / "map.toml").write_text('dog = "cat"\ncat = "dog"\n', encoding="utf-8")
    (folder / "map.csv").write_text("dog,cat\ncat,dog\n", encoding="utf-8")
    (folder / "generate.toml").write_text(
        'classes = ["dog", "cat"]\nper_class = 1\nprompts = ["a {class}"]\nsteps = 1\nbatch_size = 2\nseed = 3\nguidance_scale = 2.0\n'
        '[mask]\nalpha = 0.5\nexpand_levels = [4, 2, 1]\npamr_dilations = [1, 2]\n[capture]\nlayers = "up"\n',
        encoding="utf-8",
    )
    (folder / "train.toml").write_text(
        'architecture = "segformer"\nbackbone = "tiny"\nbatch_size = 2\nlearning_rate = 0.001\nscale = [0.5, 2.0]\ncrop = 32\n'
        "test_side = 32\n",
        encoding="utf-8",
    )
    (folder / "segment.toml").write_text(
        'batch_size = 2\nfit = "resize"\nnames = ["dog"]\n[segment]\nmethod = "kmeans"\nk = 3\n', encoding="utf-8"
    )
    (folder / "mask.toml").write_text(
        'classes = ["dog"]\nbatch_size = 2\ntimesteps = [300]\npresence = 0.0\n[mask]\npamr = false\n', encoding="utf-8"
    )
    (folder / "preset.toml").write_text(
        'command = "tune"\nmodel = "../../in/model"\npresence = 0.5\nname_threshold = 0.4\n', encoding="utf-8"
    )
    (folder / "augment.toml").write_text(
        'add = ["flip:50%", "noise:2"]\nseed = 1\nbatch_size = 2\n[strength]\nnoise_sigma = [0.1, 0.2]\n', encoding="utf-8"
    )


# Models and outputs


def model(root: Path) -> None:
    twins.save_mini(root / "model", 8)


MODEL = "../../in/model"
"""The path by which cases name the model, from `work/cwd`. Outputs record it, and a case's output must be of the case's model."""
GENERATE = ("--classes", "dog,cat", "--per-class", 2, "--batch-size", 2, "--steps", 1, "--threads", 1, "--keep-soft", "--keep-attention")
MASK = ("--timesteps", "300", "--batch-size", 1, "--threads", 1, "--keep-soft", "--presence", 0)
SEGMENT = ("--method", "kmeans", "-k", 3, "--batch-size", 1, "--threads", 1)
AUGMENT = ("--add", "flip:100%,noise:2", "--batch-size", 2)
TRAIN = (
    *("--architecture", "segformer", "--backbone", "tiny", "--weights", "scratch", "--batch-size", 2, "--crop", 32, "--test-side", 32),
    *("--steps", 2, "--save-every", 1, "--workers", 0, "--device", "cpu"),
)


def generated(root: Path) -> None:
    run("generate", *GENERATE, "--model", MODEL, "--out", root / "generated", "--quiet")


def masked(root: Path) -> None:
    run("mask", root / "photos", *MASK, "--model", MODEL, "--out", root / "masked", "--quiet")


def segments(root: Path) -> None:
    run("segment", root / "photos", *SEGMENT, "--model", MODEL, "--out", root / "segments", "--quiet")


def augmented(root: Path) -> None:
    run("augment", root / "native", *AUGMENT, "--out", root / "augmented", "--quiet")


def segmenter(root: Path) -> None:
    run("train", root / "native", *TRAIN, "--out", root / "segmenter", "--quiet")


class _Enough(BaseException):
    pass


def stopped(name: str, *words: object) -> Callable[[Path], None]:
    """Makes the output of a command that was stopped after its first batch, or its first step with a checkpoint."""

    @contextmanager
    def once() -> Iterator[Callable[[int, int, str], None]]:
        def progress(done: int, total: int, current: str) -> None:
            if done:
                raise _Enough

        yield progress

    def make(root: Path) -> None:
        given = [str(word).replace("{root}", str(root)) for word in words]
        with mock.patch("seediff.cli.progress.no_progress", once), suppress(_Enough):
            run(*given, "--out", root / name, "--quiet")
            raise RuntimeError("it was not stopped")

    return make


BUILDERS: dict[str, tuple[tuple[str, ...], Callable[[Path], None]]] = {
    "photos": ((), photos),
    "captions": ((), captions),
    "files": ((), files),
    "plain": ((), plain),
    "annotated": ((), annotated),
    "devkit": ((), devkit),
    "cityscapes": ((), cityscapes),
    "ade20k": ((), ade20k),
    "camvid": ((), camvid),
    "native": ((), native),
    "voc": (("native",), exported("voc", "--objects", "--boxes")),
    "coco": (("native",), exported("coco")),
    "polygons": (("native",), exported("coco", "--polygons", name="polygons")),
    "yolo": (("native",), exported("yolo")),
    "parquet": (("native",), exported("parquet")),
    "webdataset": (("native",), exported("webdataset")),
    "panoptic": (("native",), exported("coco", "--panoptic", name="panoptic")),
    **{kind: (("native",), exported(kind)) for kind in ("ultralytics", "cvat", "labelstudio", "imagefolder")},
    "augmented": (("native",), augmented),
    "model": ((), model),
    "generated": (("model",), generated),
    "unfinished": (("model",), stopped("unfinished", "generate", *GENERATE, "--model", MODEL)),
    "masked": (("model", "photos"), masked),
    "segments": (("model", "photos"), segments),
    "segmenter": (("native",), segmenter),
    "training": (("native",), stopped("training", "train", "{root}/native", *TRAIN)),
}
"""Name → (the inputs that it is made from, the function that makes it). Each comes after the inputs that it needs."""
