"""Imports everything that commands import, once, for the cases that are forks of this process."""

from __future__ import annotations

import gc
import importlib
import io
import os
import pkgutil
from contextlib import suppress

IMPORTED = (
    *("pyarrow.parquet", "pandas", "pycocotools.mask", "webdataset", "yaml", "xml.etree.ElementTree", "fsspec.implementations.memory"),
    *("scipy.ndimage", "scipy.sparse.csgraph", "scipy.optimize", "rich.progress", "PIL.PngImagePlugin", "safetensors.torch"),
    *("safetensors.numpy", "encodings.unicode_escape", "encodings.utf_8_sig", "encodings.ascii"),
)
"""Modules that commands import while they run."""


def warm_up() -> None:
    """Import everything that commands import, so that no case has to. Must not use torch's threads, which a fork would not have."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "SEEDIFF_DEBUG": "0", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from PIL import Image
    from rich.console import Console
    from rich.table import Table
    from transformers import CLIPTextModel, CLIPTokenizer, Mask2FormerForUniversalSegmentation, SegformerForSemanticSegmentation

    import seediff

    torch.set_num_threads(1)
    # Libraries import these parts when they are first accessed.
    assert all((AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel, CLIPTextModel, CLIPTokenizer))
    assert all((Mask2FormerForUniversalSegmentation, SegformerForSemanticSegmentation))
    modules = [module.name for module in pkgutil.walk_packages(seediff.__path__, "seediff.") if not module.name.endswith("__main__")]
    for name in (*modules, *IMPORTED):
        with suppress(ImportError):
            importlib.import_module(name)
    Image.init()
    Console(file=io.StringIO()).print(Table("a", title=":x: ×"))
    gc.collect()
    gc.freeze()
