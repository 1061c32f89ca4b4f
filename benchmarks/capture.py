"""The cost of capturing attention in every model family: one call of the network, with and without capture.

    python benchmarks/capture.py --models sd3.5-large,flux-dev --threads 1 --clock process
    python benchmarks/capture.py --models sd2-base --narrow --rounds 5  # a UNet of half of Stable Diffusion 2's width
    python benchmarks/capture.py --models sdxl --method ca_sa           # only the maps that this method reads
    python benchmarks/capture.py --models sd1.5,sdxl,sd3.5-medium,flux-dev --count   # what a GPU starts; no arithmetic

Widths, heads, sides and numbers of columns are the published ones; weights are random. Repeating blocks are cut to a
few of each kind, because capture costs the same share of each block. Under classifier-free guidance the batch has a
picture with the prompt and one without; the picture with the prompt is captured. The text encoders are not timed.

`--count` runs a call of the whole network on PyTorch's meta device, with the operations that capture starts on a GPU,
and prints how many it adds per captured layer: PyTorch's own, Triton's launches, and among these products of queries
and keys.

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
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the twins, whose text comes from recipes/
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from builders.published import NETWORKS  # pyright: ignore[reportMissingImports]
from on_gpu.device import count_operations, count_products, synchronize
from on_gpu.pipelines import exact, few_blocks, step_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from seediff.attention import fused, running_maps
from seediff.attention.capture import capture_attention
from seediff.attention.plan import plan_capture
from seediff.attention.recorder import AttentionRecorder
from seediff.config.methods import MaskConfig
from seediff.models.families.family import Family
from seediff.models.registry import Model

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "process": time.process_time}
NARROW: Mapping[str, Mapping[str, Any]] = {
    "sd2-base": {"block_out_channels": (192, 320, 640, 640), "attention_head_dim": (3, 5, 10, 10)},
    "sdxl": {"block_out_channels": (160, 320, 640), "attention_head_dim": (5, 5, 10)},
}
"""Half the width and half the heads (3 of 5 at Stable Diffusion 2's finest level), at all positions. Products of width
by width shrink more than those that capture repeats.
"""


def guided(family: Family) -> bool:
    """Whether half of each batch is without prompt."""
    return not family.distilled and family.where_prompt != "first call"


def call_of(model: Model) -> Callable[[], object]:
    """A function that calls the network once: for one picture with the prompt, and under guidance also for one
    without."""
    return step_of(model, 1 + guided(model.family))


def capture(model: Model, options: argparse.Namespace) -> AbstractContextManager[AttentionRecorder]:
    """Capture what a command captures for `--method`; without it, every map."""
    mask = MaskConfig(method=options.method) if options.method else None
    plan = plan_capture(model.family, model.layers, mask=mask)
    return capture_attention(model.network, plan, guidance=guided(model.family))


def floor_share(model: Model, call: Callable[[], object], options: argparse.Namespace) -> float:
    """The operations of one more QKᵀ for the captured rows, as a share of all operations of the call without capture.
    Without fused attention, whose products are not counted on a CPU."""
    with sdpa_kernel(SDPBackend.MATH):
        with capture(model, options):
            products = count_products(call)
        return products / count_operations(call)


class Started(TorchDispatchMode):
    """Counts operations that start a kernel, as views do not, and the launches of the capture kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.launches: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if not func.is_view and not any(
            part in name for part in ("detach", "view", "alias", "aten::empty", "new_empty")
        ):
            self.operations += 1
        return func(*args, **(kwargs or {}))

    def kernels(self) -> Any:
        """In place of the module of kernels."""

        def kernel(name: str) -> Any:
            def launch(*_: Any, **__: Any) -> None:
                self.launches[name] += 1

            return defaultdict(lambda: launch)

        return SimpleNamespace(**{name: kernel(name) for name in ("log_sum_exps", "head_means", "add_divided")})


@torch.no_grad()
def count_started(name: str, folder: Path) -> None:
    """What capture of every map adds to one call of the published network, per captured layer, on a GPU."""
    model = exact(name, "meta", "bfloat16", folder, text_layers=1)
    call = call_of(model)
    plain, captured = Started(), Started()
    tile = fused.Blocks(128, 128, 8)
    side = model.sizes.side // model.sizes.position
    lattice = (1 + guided(model.family), side, side)
    with plain:
        call()
    with (
        mock.patch.object(running_maps, "can_fuse", return_value=True),
        mock.patch.object(fused, "tile_of", return_value=tile),
        mock.patch.object(fused, "_check"),
        mock.patch.object(fused, "import_module", return_value=captured.kernels()),
        mock.patch.object(type(model.family), "lattice", return_value=lattice),  # some read it from values
        capture(model, argparse.Namespace(method=None)),
        captured,
    ):
        call()
    layers = len(model.layers)
    found = {"layers": layers, "operations": (captured.operations - plain.operations) / layers}
    found["launches"] = captured.launches.total() / layers
    found["products"] = 1 + captured.launches["log_sum_exps"] / layers  # the means of all parts are one
    print(f"{name}: " + ", ".join(f"{number:.3g} {what}" for what, number in found.items()), flush=True)


@torch.no_grad()
def measure(name: str, options: argparse.Namespace, folder: Path) -> None:
    changes = {**few_blocks(name), **(NARROW[name] if options.narrow else {})}
    model = exact(name, options.device, options.dtype, folder, text_layers=1, changes=changes)
    plain = call_of(model)

    def captured() -> None:
        with capture(model, options) as recording:
            plain()
        recording.maps([{}], [""])

    floor = 1 + floor_share(model, plain, options)  # this also warms up
    positions = (model.sizes.side // model.sizes.position) ** 2
    ways = {"plain": plain, "capture": captured}
    times: dict[str, list[float]] = {way: [] for way in ways}
    clock = CLOCKS[options.clock]
    for turn in range(options.rounds):
        for number in range(len(ways)):
            way = [*ways][(turn + number) % len(ways)]  # each round begins with the next way
            synchronize(options.device)
            begun = clock()
            ways[way]()
            synchronize(options.device)
            times[way].append(clock() - begun)
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
    parser.add_argument("--method", choices=("seediff", "ca", "ca_sa"), help="capture the maps that it reads, not all")
    parser.add_argument("--narrow", action="store_true", help=f"half the width, of {', '.join(NARROW)}")
    parser.add_argument("--count", action="store_true", help="count what a GPU starts, per captured layer")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="PyTorch's threads (default: its own choice)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="process: CPU time, for a busy machine")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for name in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            if options.count:
                count_started(name, Path(folder))
            else:
                measure(name, options, Path(folder))


if __name__ == "__main__":
    main()
