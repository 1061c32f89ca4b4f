"""Class names in, a labelled dataset out: images from a diffusion model, masks from its attention.

    import seediff

    config = seediff.GenerateConfig(classes=("dog", "cat"), per_class=20, mask=seediff.MaskConfig(beta=0.4))
    result = seediff.generate(config, "pets")               # killed? the same line continues
    print(result.made, "images in", result.out)
    for sample in seediff.Dataset.open("pets"):             # of any format; filter, merge, split, export, as_torch
        sample.image                                        # (H, W, 3) uint8
        sample.label_map                                    # (H, W) uint8: 0 background, 1 dog, 2 cat, 255 ignore
        sample.metadata["prompt"], sample.metadata["flags"]

These names are for everyday use; everything else comes from its module (docs/architecture.md). They are imported when
they are first used: `import seediff` takes a moment, torch takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

# Public name → its module, with `:NAME` if it has another name there.
_HOMES = {
    "AttentionMaps": "attention.maps",
    "Dataset": "dataset.dataset",
    "GenerateConfig": "config.runs",
    "MaskConfig": "config.methods",
    "MaskPhotosConfig": "config.runs",
    "Sample": "dataset.sample",
    "SegmentPhotosConfig": "config.runs",
    "UserError": "errors",
    "capture": "script.capturing",
    "evaluate_predictions": "evaluate.evaluation:evaluate",
    "find_photos": "files.photo_files",
    "generate": "run.generate_job",
    "load_model": "models.registry",
    "load_segmenter": "train.predict",
    "make_masks": "masks.make_masks",
    "mask": "script.single_image",
    "mask_photos": "run.mask_job",
    "predict": "run.predict_job",
    "register_family": "models.families",
    "register_method": "masks.methods",
    "segment": "script.single_image",
    "segment_photos": "run.segment_job",
    "train_segmenter": "train.run",
}

if TYPE_CHECKING:
    from .attention.maps import AttentionMaps as AttentionMaps
    from .config.methods import MaskConfig as MaskConfig
    from .config.runs import GenerateConfig as GenerateConfig
    from .config.runs import MaskPhotosConfig as MaskPhotosConfig
    from .config.runs import SegmentPhotosConfig as SegmentPhotosConfig
    from .dataset.dataset import Dataset as Dataset
    from .dataset.sample import Sample as Sample
    from .errors import UserError as UserError
    from .evaluate.evaluation import evaluate as evaluate_predictions  # noqa: F401
    from .files.photo_files import find_photos as find_photos
    from .masks.make_masks import make_masks as make_masks
    from .masks.methods import register_method as register_method
    from .models.families import register_family as register_family
    from .models.registry import load_model as load_model
    from .run.generate_job import generate as generate
    from .run.mask_job import mask_photos as mask_photos
    from .run.predict_job import predict as predict
    from .run.segment_job import segment_photos as segment_photos
    from .script.capturing import capture as capture
    from .script.single_image import mask as mask
    from .script.single_image import segment as segment
    from .train.predict import load_segmenter as load_segmenter
    from .train.run import train_segmenter as train_segmenter


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seediff' has no attribute '{name}'")
    module, _, other_name = _HOMES[name].partition(":")
    return getattr(import_module(f".{module}", __name__), other_name or name)


def __dir__() -> list[str]:
    return ["__version__", *_HOMES]
