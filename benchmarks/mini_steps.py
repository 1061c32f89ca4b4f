"""Which sampler, how many steps and what guidance the embedded model needs: the measures of `seediff mini check` for each.

    python benchmarks/mini_steps.py --images 190
    python benchmarks/mini_steps.py --model runs/mini/pipeline --samplers dpm --steps 8,10,12 --guidance 3,4,5 --images 190
    python benchmarks/mini_steps.py --model mini-dit --samplers euler --steps 12,25 --guidance 2,3 --images 95

The same noise for every row. Seconds are of drawing alone, with capture, on whatever else the machine does.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

import numpy as np
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from rich.progress import Progress

from seediff.mini.quality import chimeras, draw_images, recognition
from seediff.mini.yardsticks.frechet import distance_to_rendered
from seediff.models.registry import load_model

SAMPLERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ddim": (DDIMScheduler, {}),
    "ddim-trailing": (DDIMScheduler, {"timestep_spacing": "trailing"}),
    "dpm": (DPMSolverMultistepScheduler, {"timestep_spacing": "trailing"}),
    "dpm-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "dpm-lu": (DPMSolverMultistepScheduler, {"use_lu_lambdas": True}),
    "euler": (FlowMatchEulerDiscreteScheduler, {}),  # of models trained by flow matching, as mini-dit
    "euler-shift-2": (FlowMatchEulerDiscreteScheduler, {"shift": 2.0}),
    "unipc": (UniPCMultistepScheduler, {"timestep_spacing": "trailing"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--samplers", default="ddim,dpm")
    parser.add_argument("--steps", default="10,25")
    parser.add_argument("--guidance", default="5")
    parser.add_argument("--images", type=int, default=190)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = load_model(options.model)
    config = model.pipe.scheduler.config
    print("| sampler | steps | guidance | chimeras | explained | recognised | Fréchet | images/s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    wanted = itertools.product(options.samplers.split(","), map(int, options.steps.split(",")), map(float, options.guidance.split(",")))
    for name, steps, guidance in wanted:
        kind, changes = SAMPLERS[name]
        model.pipe.scheduler = kind.from_config(config, **changes)
        started = time.monotonic()
        with Progress(disable=True) as progress:
            drawn, specs = draw_images(model, options.images, options.seed, steps, guidance, progress)
        seconds = time.monotonic() - started
        shapes, names = chimeras(drawn, specs), recognition(drawn, specs)
        far = distance_to_rendered(np.stack(drawn))
        print(
            f"| {name} | {steps} | {guidance:g} | {shapes['share']:.3f} ({shapes['ci95'][0]:.3f}–{shapes['ci95'][1]:.3f}) | "
            f"{shapes['explained']:.3f} | {names['share']:.3f} | {far['distance']:.2f} | {options.images / seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
