"""What labels cost on a CPU: pictures and masks as `seediff generate` makes them with `mini`, compared with the same
pictures drawn by diffusers' pipeline alone.

    python benchmarks/labels.py                  # 24 pictures, each drawn twice: two minutes of one core

Both ways take turns, batch by batch. Times are CPU seconds of this process, which other programs hardly change.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from seediff import GenerateConfig
from seediff.models.registry import LoadOptions, load_model
from seediff.run.generate_job import GenerateJob


def main() -> None:
    torch.set_num_threads(1)
    config = GenerateConfig.recommended(classes=("dog", "cat", "car"), per_class=8)
    job = GenerateJob(config)
    ready = job.load()
    pipe = load_model("mini", device="cpu", **vars(LoadOptions.of(config))).pipe  # which nothing captures
    pipe("a dog", num_inference_steps=1)  # warms up

    seconds = {"diffusers alone": 0.0, "with capture": 0.0, "masks": 0.0}
    same = count = 0
    for batch in job.batches.values():
        begun = time.process_time()
        noise = [torch.Generator().manual_seed(spec.seed) for spec in batch]
        how = {"num_inference_steps": config.steps, "guidance_scale": config.guidance_scale, "output_type": "np"}
        plain = pipe([spec.prompt for spec in batch], generator=noise, **how).images
        drawn = time.process_time()
        drawing = [*job.drawn(ready, batch)]
        captured = time.process_time()
        for spec, image, attention, _ in drawing:
            job.masks(ready, spec, image, attention)
        masked = time.process_time()

        for name, spent in zip(seconds, (drawn - begun, captured - drawn, masked - captured), strict=True):
            seconds[name] += spent
        count += len(batch)
        same += sum(
            np.array_equal((pixels * 255).round().astype(np.uint8), image)
            for pixels, (_, image, *_) in zip(plain, drawing, strict=True)
        )
    print(f"{count} pictures, CPU seconds each; {same} have the same bytes in both ways")
    for name, total in seconds.items():
        print(f"  {name:16} {total / count:.4f}")
    ratio = (seconds["with capture"] + seconds["masks"]) / seconds["diffusers alone"]
    print(f"  pictures with masks: {ratio:.3f} × diffusers alone")


if __name__ == "__main__":
    main()
