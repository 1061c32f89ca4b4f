"""Measures how one family draws: without capture, capturing one kind of attention or both, and with masks and files."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

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
from seediff.attention.capture import capture_attention
from seediff.attention.maps import AttentionMaps
from seediff.attention.plan import plan_capture
from seediff.config.generate_config import GenerateConfig
from seediff.config.method_constants import EVERYTHING, MaskConfig, Reads
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
        given = MaskConfig(method="ca") if model.family.no_self_attention else MaskConfig()
        self.plan = plan_capture(model.family, model.layers, mask=given)

    def plain(self, steps: int) -> Any:
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
        return pipe(**family.pipeline_arguments(pipe, drawing)).images

    def captured(self, steps: int, reads: Reads | None = EVERYTHING) -> tuple[Any, list[AttentionMaps]]:
        """reads: the maps; None: those that masks read, as `generate` captures them."""
        pipe, family = self.model.pipe, self.model.family
        words = [locate_columns(self.model.readers, PROMPT, (CLASS,))] * self.batch
        guidance, calls = family.guided(pipe, self.scale), family.count_predictions(pipe, steps)
        plan = self.plan if reads is None else replace(self.plan, reads=reads)
        with capture_attention(self.model.network, plan, guidance=guidance, total_steps=calls) as recorder:
            images = self.plain(steps)
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
        """(seconds of a run of at least 2 steps, seconds per step). Steps are timed from the end of the network's first
        call to that of its last, so that costs paid once are left out, and a busy machine cannot make it negative. On a
        GPU by events between calls, for which the host does not wait: it may run ahead, as when a user draws."""
        device = self.model.device
        on_gpu = device.startswith("cuda")
        moments: list[Any] = []

        def note(*_: Any) -> None:
            if on_gpu:
                moments.append(torch.cuda.Event(enable_timing=True))
                moments[-1].record()
            else:
                synchronize(device)
                moments.append(time.perf_counter())

        hook = self.model.network.register_forward_hook(note)
        try:
            whole = seconds(device, lambda: work(steps))
        finally:
            hook.remove()
        calls = self.model.family.count_predictions(
            self.model.pipe, steps
        )  # in some families, the network is called twice per step under guidance
        between = moments[0].elapsed_time(moments[-1]) / 1000 if on_gpu else moments[-1] - moments[0]
        return whole, between / (len(moments) - 1) * len(moments) / calls

    def products(self, steps: int, work: Callable[[int], object]) -> float:
        """Operations of QKᵀ, once for each captured row, in a step of a captured drawing."""
        return count_products(lambda: work(steps)) / steps


@torch.no_grad()
def draw_row(model: Model, batch: int, folder: Path, *, made: int, rounds: int) -> dict[str, Any]:
    """Figures of one model and batch. made: steps of a run, at least 2.

    The time for the family's default number of steps is the time of the run plus that of a step for each further step.
    Ways are interleaved; ratios are to the plain step of the same round.
    """
    # 1. The first of each way compiles kernels and is not timed with the others
    draws, device = Draws(model, batch), model.device
    ways: dict[str, Callable[[int], object]] = {
        "plain": draws.plain,
        "capture": draws.captured,
        "generate's maps": partial(draws.captured, reads=None),
    }
    peaks: dict[str, int] = {}
    first: dict[str, float] = {}
    for way, work in ways.items():
        gc.collect()
        forget_peak_memory(device)
        first[way] = seconds(device, partial(work, made))
        peaks[way] = peak_memory(device)

    # 2. Files and operations
    with tempfile.TemporaryDirectory(dir=folder) as out:
        files, files_step, beside = draws.to_files(made, Path(out) / "set", max(3, rounds))
    calls = {steps: model.family.count_predictions(model.pipe, steps) for steps in (made, made + 1, draws.steps)}
    counts = [count_operations(partial(draws.plain, steps)) for steps in (made, made + 1)]
    flops = (counts[1] - counts[0]) / (calls[made + 1] - calls[made])
    floor = 1 + draws.products(made, draws.captured) / flops

    # 3. Times
    step: dict[str, list[float]] = {way: [] for way in ways}
    whole: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        order = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for way in order:
            one, price = draws.timed(ways[way], made)
            whole[way].append(one + (calls[draws.steps] - calls[made]) * price)
            step[way].append(price)
    image_s = {way: statistics.median(whole[way]) / batch for way in ways}
    ratio = {way: _ratio(step[way], step["plain"]) for way in ways if way != "plain"}
    files_s = files + (calls[draws.steps] - calls[made]) * files_step
    return {
        "side": model.sizes.side,
        "steps": draws.steps,
        "step_s": {way: statistics.median(step[way]) for way in ways},
        "images_per_s": {**{way: 1 / image_s[way] for way in ways}, "masks and files": batch / files_s},
        "masks_and_files_s": beside,
        "ratio": ratio,
        "floor": floor,
        "first_s": first,
        "peak_bytes": peaks,
    }


def _ratio(ours: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))
