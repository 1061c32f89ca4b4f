"""What one call costs at a family's published shape, with random weights: a denoising step, and decoding one picture.

    python benchmarks/calls.py --models sd1.5 --device cpu      # CPU seconds
    python benchmarks/calls.py                                  # on a GPU: peaks of memory

Peaks in docs/gpus.md were measured so, of few blocks, which are enough; the seconds in docs/photographs.md are those of
whole networks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from on_gpu.device import forget_peak_memory, peak_memory, synchronize
from on_gpu.pipelines import exact, few_blocks, step_of

from seediff.devices import default_device

MODELS = "sd1.5,sdxl,flux-dev,qwen-image,z-image-turbo,chroma,ernie-image,lumina2,sana"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--rows", default="1,4", help="batches of the network")
    parser.add_argument("--device", default=default_device())
    given = parser.parse_args()
    for name in given.models.split(","):
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            measure(name, [int(rows) for rows in given.rows.split(",")], given.device, Path(folder))


def measure(name: str, batches: list[int], device: str, folder: Path) -> None:
    dtype = "float32" if device == "cpu" else "float16" if name in ("sd1.5", "sdxl") else "bfloat16"
    changes = {} if device == "cpu" else few_blocks(name)
    model = exact(name, device, dtype, folder, text_layers=1, changes=changes)
    for rows in batches:
        show(f"{name}, step of {rows}", step_of(model, rows), device)
    vae = model.pipe.vae
    channels = vae.config.get("latent_channels") or vae.config.get("z_dim")
    side = model.sizes.side // (8 if "Flux2" in type(vae).__name__ else model.pipe.vae_scale_factor)  # which packs
    frames = [1] if name == "qwen-image" else []
    latents = torch.randn(1, channels, *frames, side, side, device=device, dtype=model.network.dtype)
    show(f"{name}, decoding", partial(vae.decode, latents), device)


def show(what: str, call: Callable[[], object], device: str) -> None:
    forget_peak_memory(device)
    before, began = peak_memory(device), time.process_time()
    call()
    synchronize(device)
    if device.startswith("cuda"):
        print(f"{what}: {(peak_memory(device) - before) / 2**30:.3f} GiB", flush=True)
    else:
        print(f"{what}: {time.process_time() - began:.1f} s of CPU time", flush=True)


if __name__ == "__main__":
    main()
