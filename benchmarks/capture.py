"""The cost of capturing attention on a CPU, in every model family: one call of the network, with and without capture.

    python benchmarks/capture.py --models sd3.5-large,flux-dev --threads 1
    python benchmarks/capture.py --models sd2-base --narrow --rounds 5  # a UNet of half of Stable Diffusion 2's width

Widths, heads, sides and numbers of columns are the published ones; weights are random. Repeating blocks are cut to a
few of each kind, because capture costs the same share of each block. Under classifier-free guidance the batch has a
picture with the prompt and one without; the picture with the prompt is captured. The text encoders are not timed.

The ways run in turn, so that a busy machine slows all of them alike. Times are medians; a ratio is the median of the
ratios within a round, with the smallest and the largest.

The floor is what no capture of dense maps can avoid: computing QKᵀ once more for the captured rows, divided by all
operations of the call.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from builders.published import NETWORKS  # pyright: ignore[reportMissingImports]
from on_gpu.device import count_operations, count_products
from on_gpu.pipelines import exact, few_blocks, step_of
from torch.nn.attention import SDPBackend, sdpa_kernel

from seediff.attention.network import record_attention
from seediff.attention.plan import plan_capture
from seediff.attention.recorder import AttentionRecorder
from seediff.models.registry import Model

NARROW: Mapping[str, Mapping[str, Any]] = {
    "sd2-base": {"block_out_channels": (192, 320, 640, 640), "attention_head_dim": (3, 5, 10, 10)},
    "sdxl": {"block_out_channels": (160, 320, 640), "attention_head_dim": (5, 5, 10)},
}
"""Half the width and half the heads (3 of 5 at Stable Diffusion 2's finest level), at all positions. Products of width
by width shrink more than those that capture repeats.
"""


def call_of(model: Model) -> Callable[[], object]:
    """A function that calls the network once, for one picture with the prompt."""
    return step_of(model, 1)


def capture(model: Model) -> AbstractContextManager[AttentionRecorder]:
    """Capture every map."""
    plan = plan_capture(model.family, model.layers)
    return record_attention(model.network, plan)


def floor_share(model: Model, call: Callable[[], object]) -> float:
    """The operations of one more QKᵀ for the captured rows, as a share of all operations of the call without capture.
    Without fused attention, whose products are not counted on a CPU."""
    with sdpa_kernel(SDPBackend.MATH):
        with capture(model):
            products = count_products(call)
        return products / count_operations(call)


@torch.no_grad()
def measure(name: str, options: argparse.Namespace, folder: Path) -> None:
    changes = {**few_blocks(name), **(NARROW[name] if options.narrow else {})}
    model = exact(name, "cpu", "float32", folder, text_layers=1, changes=changes)
    plain = call_of(model)

    def captured() -> None:
        with capture(model) as recording:
            plain()
        recording.maps([{}], [""])

    floor = 1 + floor_share(model, plain)  # this also warms up
    positions = (model.sizes.side // model.sizes.position) ** 2
    ways = {"plain": plain, "capture": captured}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.rounds):
        for way in [*ways][:: (-1) ** turn]:  # each round begins with the other way
            begun = time.process_time()
            ways[way]()
            times[way].append(time.process_time() - begun)
    print(f"{name}, {positions} positions, floor {floor:.3f}")
    for way, seconds in times.items():
        ratios = [slow / fast for slow, fast in zip(seconds, times["plain"], strict=True)]
        spread = f"{statistics.median(ratios):.3f} × plain [{min(ratios):.3f}–{max(ratios):.3f}]"
        print(f"  {way:16} {1000 * statistics.median(seconds):10.2f} ms {spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", default="sd3.5-medium,flux-dev,pixart-sigma,z-image,sdxl", help=f"of {', '.join(NETWORKS)}"
    )
    parser.add_argument("--narrow", action="store_true", help=f"half the width, of {', '.join(NARROW)}")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (default: its own choice)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            measure(name, options, Path(folder))


if __name__ == "__main__":
    main()
