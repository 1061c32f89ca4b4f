"""Measures how one family draws: without and with capture, and with masks and files."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial, wraps
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from on_gpu.device import (
    count_operations,
    count_products,
    forget_peak_memory,
    peak_memory,
    seconds,
    synchronize,
)
from on_gpu.figures import Figures
from seediff.attention.maps import AttentionMaps
from seediff.attention.network import hear_prompt, record_attention
from seediff.attention.plan import plan_capture
from seediff.attention.which_rows import Encoded
from seediff.config.methods import EVERYTHING, MaskConfig, Reads
from seediff.config.runs import GenerateConfig
from seediff.models.families.inputs import DrawRequest
from seediff.models.registry import Model
from seediff.prompts.tokens import locate_columns
from seediff.run.generate_job import generate

PROMPT, CLASS = "a photo of a cat", "cat"


class Draws:
    """Draws batches with one model. `self.steps` is the family's default number of steps; methods take the number that
    is really made.
    """

    def __init__(self, model: Model, batch: int) -> None:
        own = model.info.defaults()
        self.model, self.batch = model, batch
        self.steps: int = own.get("steps", GenerateConfig.steps)
        self.scale: float = own.get("guidance_scale", GenerateConfig.guidance_scale)
        given = MaskConfig()
        self.plan = plan_capture(model.family, model.layers, mask=given)

    def plain(self, steps: int) -> Any:
        return self.model.pipe(**self.arguments(steps)).images

    def arguments(self, steps: int) -> dict[str, Any]:
        """Those of the pipeline's call."""
        pipe, family = self.model.pipe, self.model.family
        drawing = DrawRequest(
            prompts=[PROMPT] * self.batch,
            negative_prompt="",
            height=self.model.sizes.side,
            width=self.model.sizes.side,
            steps=steps,
            guidance_scale=self.scale,
            generators=[torch.Generator().manual_seed(seed) for seed in range(self.batch)],
        )
        return family.pipeline_arguments(pipe, drawing)

    def captured(self, steps: int, reads: Reads | None = EVERYTHING) -> tuple[Any, list[AttentionMaps]]:
        """reads: the maps; None: those that masks read, as `generate` captures them."""
        pipe, family = self.model.pipe, self.model.family
        words = [locate_columns(self.model.readers, PROMPT, (CLASS,))] * self.batch
        calls = family.count_predictions(pipe, steps)
        plan = self.plan if reads is None else replace(self.plan, reads=reads)
        arguments = self.arguments(steps)
        with (
            record_attention(self.model.network, plan, prompt=Encoded(), total_steps=calls) as recorder,
            hear_prompt(pipe, arguments, recorder),
        ):
            images = pipe(**arguments).images
        return images, recorder.maps(words, [PROMPT] * self.batch)

    def to_files(self, steps: int, out: Path, batches: int) -> tuple[float, float, float]:
        """Draw `batches` batches, at least three, with `generate`'s capture, masks and files. On a GPU, masks and files
        are made during the next batch.

        Returns the median seconds from one batch to the next and per step within a batch, and the seconds per image of
        masks and files.
        """
        began: list[float] = []
        prices: list[float] = []

        def draw(_: object) -> tuple[list[np.ndarray], list[AttentionMaps]]:
            drawn: list[tuple[Any, list[AttentionMaps]]] = []
            began.append(time.perf_counter())
            prices.append(self.timed(lambda steps: drawn.append(self.captured(steps, None)), steps)[1])
            ((images, maps),) = drawn
            return list((images * 255).round().astype("uint8")), maps

        count, device = batches * self.batch, self.model.device
        config = GenerateConfig(
            classes=(CLASS,), per_class=count, batch_size=self.batch, mask=self.plan.mask or MaskConfig(), device=device
        )
        took = generate(config, out, draw=draw).seconds
        after = [b - a for a, b in pairwise(began)][1:]  # nothing else runs during the first batch
        return statistics.median(after), statistics.median(prices), (took["masks"] + took["writing"]) / count

    def timed(self, work: Callable[[int], object], steps: int) -> tuple[float, float]:
        """(seconds of a run of at least 2 steps, seconds per step).

        Steps are timed from the end of the first to that of the last, so that costs paid once are left out, and a busy
        machine cannot make it negative. On a GPU by events between steps, for which the host does not wait: it may run
        ahead, as when a user draws.
        """
        device, scheduler = self.model.device, self.model.pipe.scheduler
        on_gpu = device.startswith("cuda")
        step, moments = scheduler.step, []

        @wraps(step)  # pipelines read its arguments' names
        def noted(*arguments: Any, **more: Any) -> Any:
            stepped = step(*arguments, **more)
            if on_gpu:
                moments.append(torch.cuda.Event(enable_timing=True))
                moments[-1].record()
            else:
                synchronize(device)
                moments.append(time.perf_counter())
            return stepped

        with mock.patch.object(scheduler, "step", noted):
            whole = seconds(device, lambda: work(steps))
        between = moments[0].elapsed_time(moments[-1]) / 1000 if on_gpu else moments[-1] - moments[0]
        return whole, between / (len(moments) - 1)


@torch.no_grad()
def draw_row(model: Model, batch: int, folder: Path, *, made: int, rounds: int) -> Iterator[Figures]:
    """Figures of one model and batch, as they are made. made: steps of a run, at least 2.

    The time for the family's default number of steps is the time of the run plus that of a step for each further step.
    Ways are interleaved; ratios are to the plain step of the same round.
    """
    # 1. The first of each way compiles kernels and is not timed with the others
    draws, device = Draws(model, batch), model.device
    yield {"side": model.sizes.side, "steps": draws.steps}
    ways: dict[str, Callable[[int], object]] = {"plain": draws.plain, "capture": draws.captured}
    ways["generate's maps"] = partial(draws.captured, reads=None)
    for way, work in ways.items():
        gc.collect()
        forget_peak_memory(device)
        first = {"first_s": seconds(device, partial(work, made)), **peak_memory(device)}
        yield {name: {way: figure} for name, figure in first.items()}

    # 2. Times, of the rounds so far
    calls = {steps: model.family.count_predictions(model.pipe, steps) for steps in (made, made + 1, draws.steps)}
    more = calls[draws.steps] - calls[made]
    step: dict[str, list[float]] = {way: [] for way in ways}
    image: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        order = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for way in order:
            one, price = draws.timed(ways[way], made)
            image[way].append((one + more * price) / batch)
            step[way].append(price)
        yield {
            "step_s": {way: statistics.median(step[way]) for way in ways},
            "ratio": {way: _ratio(step[way], step["plain"]) for way in ways},
            "images_per_s": {way: 1 / statistics.median(image[way]) for way in ways},
        }

    # 3. Files and operations
    with tempfile.TemporaryDirectory(dir=folder) as out:
        files, files_step, beside = draws.to_files(made, Path(out) / "set", max(3, rounds))
    yield {"images_per_s": {"masks and files": batch / (files + more * files_step)}, "masks_and_files_s": beside}
    counts = [count_operations(partial(draws.plain, steps)) for steps in (made, made + 1)]
    flops = (counts[1] - counts[0]) / (calls[made + 1] - calls[made])
    yield {"floor": 1 + count_products(partial(draws.captured, made)) / made / flops}


def _ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))
