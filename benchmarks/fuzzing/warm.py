"""What commands import, imported once, for all the cases that are forks of this process."""

from __future__ import annotations

import gc
import importlib
import io
import os
import pkgutil
from contextlib import suppress

IMPORTED = (
    *("pyarrow.parquet", "pandas", "pycocotools.mask", "webdataset", "yaml", "xml.etree.ElementTree", "fsspec.implementations.memory"),
    *("scipy.ndimage", "scipy.sparse.csgraph", "scipy.optimize", "rich.table", "rich.progress", "PIL.PngImagePlugin"),
    *("safetensors", "safetensors.numpy", "encodings.unicode_escape", "encodings.utf_8_sig", "encodings.ascii"),
)
"""What commands import while they run."""


LIGHT = (
    *("cli.commands", "cli.summary", "report", "report.data_card", "evaluate.cli", "evaluate.evaluation"),
    *("evaluate.segments", "run.augment", "run.reopen", "run.plan", "run.place", "dataset.opening", "toml", "palette"),
    *(
        f"dataset.{name}"
        for name in ("check", "fix", "store", "select", "merge", "split", "stats", "coco", "voc", "yolo", "shards", "parquet")
    ),
)
"""Modules that do not import torch."""


def warm_up(torch: bool = True) -> None:
    """Import all that commands import, so that no case has to; or, for those that need no network, all but torch.

    Nothing here may use torch's threads: a fork would not have them.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "SEEDIFF_DEBUG": "0", "NO_COLOR": "1"}
    import seediff

    names = [f"seediff.{name}" for name in LIGHT]
    if torch:
        _import_networks()
        names = [module.name for module in pkgutil.walk_packages(seediff.__path__, "seediff.") if not module.name.endswith("__main__")]
        names += ["safetensors.torch"]
    for name in (*names, *IMPORTED):
        with suppress(ImportError):
            importlib.import_module(name)
    from PIL import Image
    from rich.console import Console
    from rich.table import Table

    Image.init()
    Console(file=io.StringIO()).print(Table("a", title=":x: ×"))
    gc.collect()
    gc.freeze()


def _import_networks() -> None:
    """Libraries that import their parts when these are first asked for."""
    from seediff.models.registry import _import_diffusers

    torch, _ = _import_diffusers()
    torch.set_num_threads(1)
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer, Mask2FormerForUniversalSegmentation, SegformerForSemanticSegmentation

    assert all((AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel, CLIPTextModel, CLIPTokenizer))
    assert all((Mask2FormerForUniversalSegmentation, SegformerForSemanticSegmentation))
