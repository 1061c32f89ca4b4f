"""The cost of `seediff.capture`, compared with two other libraries that capture attention. One pipeline draws without capture and with
each of them, in turn.

    PYTHONPATH=others python benchmarks/beside.py --threads 1 --clock process        # `others` has the two libraries
    python benchmarks/beside.py --threads 1 --clock process --only plain,capture     # without them

Stable Diffusion 2's network at its published width and 64 × 64 latents, with random weights in float32 and classifier-free guidance,
through diffusers' own pipeline; the autoencoder does not run, and the text encoder has one layer. Every library computes the heat map of
one word.
Memory is the process's peak above what it held before, measured in a separate round.

The libraries are not part of SeeDiff's environment. If one cannot be imported or fails, its line says so.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import timing
import torch
from builders.published import NETWORKS  # pyright: ignore[reportMissingImports]
from capture import NARROW
from on_gpu.pipelines import exact

import seediff

PROMPT, WORD = "a photo of a cat", "cat"


def with_capture(pipe: Any, draw: Callable[[], None], **options: Any) -> None:
    with seediff.capture(pipe, **options) as seen:
        draw()
    assert seen.heatmap(WORD).shape == (512, 512)


def with_daam(pipe: Any, draw: Callable[[], None]) -> None:
    """castorini/daam: cross-attention, summed over the steps for every head."""
    with import_module("daam").trace(pipe) as trace:
        draw()
        heat = trace.compute_global_heat_map().compute_word_heat_map(WORD).heatmap
    assert heat.shape == (64, 64)


def with_attention_maps(pipe: Any, draw: Callable[[], None], timesteps: str) -> None:
    """wooyeolBaek/attention-map-diffusers: cross-attention, kept per layer and step; by default only of the last step."""
    with import_module("attention_map_diffusers").AttentionCapture(pipe, timesteps=timesteps) as captured:
        draw()
    records = captured.compute().by_relation()["image->text"]
    column = 1 + pipe.tokenizer(PROMPT).input_ids[1:].index(pipe.tokenizer(WORD).input_ids[1])
    heats = [_mean(record.data)[:, column].unflatten(0, _square(record.data)) for record in records]
    heat = torch.stack([torch.nn.functional.interpolate(one[None, None], (64, 64)) for one in heats]).mean(0)
    assert heat.shape[2:] == (64, 64)


def _mean(data: torch.Tensor) -> torch.Tensor:
    """(N, T) mean over the heads, for the batch row with the prompt."""
    return data[-1].float().flatten(0, -3).mean(0)


def _square(data: torch.Tensor) -> tuple[int, int]:
    side = round(data.shape[-2] ** 0.5)
    return side, side


def main() -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--only", default="", help="ways, with commas")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--narrow", action="store_true", help="half the width, as of capture.py")
    options = parser.parse_args()
    if options.narrow:
        kind, config = NETWORKS["sd2-base"]
        NETWORKS["sd2-base"] = kind, {**config, **NARROW["sd2-base"]}
    session = timing.Session.begin(options)
    with tempfile.TemporaryDirectory() as folder:
        pipe = exact("sd2-base", options.device, "float32", Path(folder), text_layers=1).pipe

    def draw() -> None:
        pipe(PROMPT, num_inference_steps=options.steps, generator=torch.Generator().manual_seed(0), output_type="latent")

    ways: dict[str, Callable[[], None]] = {
        "plain": draw,
        "capture": lambda: with_capture(pipe, draw),
        "capture keep=ca": lambda: with_capture(pipe, draw, keep="ca"),
        "daam": lambda: with_daam(pipe, draw),
        "attention-map-diffusers": lambda: with_attention_maps(pipe, draw, "last"),
        "attention-map-diffusers all steps": lambda: with_attention_maps(pipe, draw, "all"),
    }
    chosen = {name: way for name, way in ways.items() if not options.only or name in options.only.split(",")}
    for package in ("diffusers", "daam", "attention-map-diffusers"):
        try:
            print(package, version(package))
        except ModuleNotFoundError:
            print(package, "is not here")
    draw()
    peaks = {}
    for name, way in list(chosen.items()):  # each runs once before timing starts
        try:
            peaks[name] = session.peak_mib(way)
            print(f"  {name:36} {peaks[name]:8.0f} MiB", flush=True)
        except Exception as error:
            print(f"  {name:36} {type(error).__name__}: {error}", flush=True)
            del chosen[name]
    session.compare("sd2-base", chosen, "plain")
    session.report["peak_mib"] = peaks
    session.end(options)


if __name__ == "__main__":
    main()
