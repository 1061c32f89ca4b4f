"""How long a training step takes beside a bare loop over transformers, and how much of a training is spent waiting for images.

    OMP_NUM_THREADS=1 python benchmarks/train.py [--rounds STEPS]

Both sides have the same network (`tiny` Mask2Former, batches of 16, 128 × 128 pixels, bfloat16 where the CPU has it), AdamW and clipping,
and labels from a data loader: ours uint8 maps, transformers' one mask per class. The bare loop's loss is transformers' own, of as
many points. `auxiliary` is tiny's extra loss, which the bare loop does not have.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import timing
import torch

from seediff.config.names import VOC_CLASSES
from seediff.config.train import make_config, with_device
from seediff.dataset import native
from seediff.dataset.sample import Sample
from seediff.devices import mixed_precision
from seediff.mini.scenes import load_scenes
from seediff.train.data import Batch, Stage, batches
from seediff.train.models import Trainee, build_network, parameter_groups, to_pixels
from seediff.train.run import train


def items(count: int) -> list[Sample]:
    scenes = load_scenes("truth", count)
    return [Sample(native.encode_image(s.image, "png"), s.label_map, name=str(i)) for i, s in enumerate(scenes)]


class Ours:
    def __init__(self, config) -> None:
        self.trainee = Trainee(build_network(config, VOC_CLASSES), config).train()
        self.optimizer = torch.optim.AdamW(parameter_groups(self.trainee, config))
        self.clip = config.clip

    def step(self, batch: Batch) -> None:
        losses = self.trainee(torch.from_numpy(batch.images), torch.from_numpy(batch.labels))
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Bare:
    def __init__(self, config) -> None:
        self.network = build_network(config, VOC_CLASSES).train()
        criterion: Any = self.network.criterion
        criterion.num_points = criterion.matcher.num_points = config.points
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.clip = config.clip

    def step(self, batch: Batch) -> None:
        labels = torch.from_numpy(batch.labels)
        present = [one.unique() for one in labels]
        present = [ids[ids != 255].long() for ids in present]
        masks = [torch.stack([(one == c).float() for c in ids]) for one, ids in zip(labels, present, strict=True)]
        with mixed_precision("cpu"):
            loss = self.network(pixel_values=to_pixels(torch.from_numpy(batch.images)), mask_labels=masks, class_labels=present).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def main() -> None:
    parser = timing.parser(__doc__, clock="process", threads=1, rounds=12)
    given = parser.parse_args()
    session = timing.Session.begin(given)
    config = with_device(make_config({"backbone": "tiny", "device": "cpu"}))
    data = items(64)
    ready = itertools.cycle(batches(Stage(data, VOC_CLASSES, steps=4), 0, replace(config, scale=(1.0, 1.0)), workers=0))
    sides = {"ours": Ours(replace(config, auxiliary=0.0)), "ours with auxiliary": Ours(config), "bare": Bare(config)}
    ways = {name: lambda side=side: side.step(next(ready)) for name, side in sides.items()}
    session.interleave(ways, 2)  # warm
    session.compare("a step of 16", ways, "bare")
    began = time.process_time()
    for _ in batches(Stage(data, VOC_CLASSES, steps=20), 0, config, workers=0):
        pass
    print(f"reading, cropping, colouring: {1000 * (time.process_time() - began) / 20:.1f} ms a batch of 16")
    for workers in (0, 1):
        with tempfile.TemporaryDirectory() as folder:
            result = train(config, [Stage(data, VOC_CLASSES, steps=given.rounds)], Path(folder) / "out", workers=workers)
        print(f"training with {workers} threads that read ahead: {result.waited:.1%} of the time waiting for images")
    session.end(given)


if __name__ == "__main__":
    main()
