"""The training loop: trains on stages, and writes a folder that transformers, `predict` and `evaluate` read.

    out/  config.json, model.safetensors   the network with the best validation mIoU, or the last one without validation
          seediff.toml                     the exact configuration     losses.csv    one row per step
          classes.txt                      line i (from 0) = id i
          losses.png                       losses and mIoU by epoch    trained_on.txt   digests of the pictures
          training.json                    how far it is, and the best mIoU
          checkpoint.safetensors           while unfinished            README.md     the model card; written last

The checkpoint decides how a training continues; the network, losses.csv and losses.png are written after it, from its
contents. A killed run continues from its last checkpoint, a run ended by Ctrl-C from its last step. On the same kind of
CPU with the same number of threads, it ends with the same bytes as an undisturbed run. On CUDA the last bits differ,
because the gradients of grid_sample and interpolate are added in no fixed order.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..config.train import TrainConfig, with_device
from ..dataset import native
from ..dataset.sample import Sample
from ..drawing.charts import can_draw
from ..errors import Notice, UserError
from ..files.names import CARD, CONFIG
from ..files.outputs import open_folder, write_atomic
from ..files.tensors import write_tensors
from ..metrics.confusion import confusion, count_classes
from ..metrics.scores import class_iou, mean_iou
from .data import Decoded, Pair, batches
from .loss import Trainee
from .models import Network, build_network, find_weights
from .plan import choose_defaults
from .predict import Segmenter
from .record import (
    CHECKPOINT,
    LOSSES,
    RECORD,
    TrainingProgress,
    find_state,
    load_checkpoint,
    step_numbers,
    write_checkpoint,
    write_trained_on,
)
from .stages import Data, Stage, TrainingData, data_fingerprint, open_training, validation_steps
from .views import CHART, draw_losses, losses_csv, model_card

if TYPE_CHECKING:
    from ..workers import Progress

VALIDATED_TOGETHER = 16


@dataclass(frozen=True)
class TrainResult:
    """The result of a training."""

    out: Path
    steps: int
    miou: float
    """The validation mIoU of the network in `out`; NaN without validation."""
    best_step: int
    seconds: float
    """The time of this run only."""
    images_per_second: float
    """The speed of this run only."""


def train_segmenter(
    data: Data | Sequence[Data],
    out: Path | str,
    *,
    validation: Data | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    with_rejected: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Train a segmenter as `seediff train` does, and write it to the folder `out`. If the training was stopped, the
    same call continues it.

    data: a `Dataset`, a folder of any format, or several of these. validation: a dataset or folder; the network with
    the best mIoU on it is kept. Default: the `val` parts of `data`. epochs, steps: the length; default: 10 epochs.
    with_rejected: use samples that people rejected, too. options: fields of `TrainConfig`; the default backbone is
    `tiny` without a GPU, and for small pictures. Raises UserError.
    """
    sets = [data] if isinstance(data, Data) else data
    training = open_training(sets, epochs=epochs, steps=steps, validation=validation, with_rejected=with_rejected)
    config, chosen = choose_defaults(options, None, training, Path(out))
    for line in chosen:
        warnings.warn(line, Notice, stacklevel=2)
    return train(config, training.stages, Path(out), progress, validation=training.validation)


def train(
    config: TrainConfig,
    stages: Sequence[Stage],
    out: Path,
    progress: Progress | None = None,
    *,
    validation: Sequence[Sample] = (),
    validate_every: int | None = None,
    save_every: int = 500,
    workers: int | None = None,
    keep: Callable[[int], None] = lambda steps: None,
) -> TrainResult:
    """Train on the stages one after the other and write the network to `out`. Continues an unfinished training there.

    validation: samples on which the mIoU, over all classes and the background, is measured; the best network is kept.
    validate_every: steps between these measurements; there is one at the end of each stage, too. None: once per epoch,
    at least 50 steps apart. save_every: steps between checkpoints; each new best network gets one, too. workers: how
    many threads read images ahead; None: one per core, at most 8; 0: none. keep: called with the number of saved steps,
    at the start and after every checkpoint.

    An interrupt (SIGINT) finishes and saves the current step, then stops; a second one stops at once. Raises UserError,
    before any step, for unusable data and for a folder with another training, or one on other data.
    """
    config = with_device(config)
    find_weights(config)
    data = TrainingData(stages[0].classes, tuple(stages), tuple(validation))
    steps_between = validation_steps(stages, config.batch_size, validate_every)
    facts = data_fingerprint(data, config.batch_size, validate_every)
    with open_folder(out):
        state = find_state(out, config, TrainingProgress(data=facts))
        if (out / CARD).is_file():
            (out / CHECKPOINT).unlink(missing_ok=True)  # a run that was killed after the card left it
            return _result(out, state, 0.0, 0)
        if not state.step:
            write_atomic(out / CONFIG, config.to_toml().encode())
            write_atomic(out / native.CLASSES, native.classes_text(data.classes))
            write_trained_on(out, chain.from_iterable(stage.items for stage in stages))
        keep(state.step)
        if workers is None:
            workers = min(8, os.cpu_count() or 1)
        # Every step is seeded; the caller's random numbers go on as if nothing had happened
        device = torch.device(config.device or "cpu")
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            training = _Training(config, data, steps_between, out, state, save_every, keep)
            return training.run(progress, workers)


def _result(out: Path, state: TrainingProgress, seconds: float, images: int) -> TrainResult:
    miou = state.best if state.best >= 0 else math.nan
    return TrainResult(out, state.step, miou, state.best_step, seconds, images / max(seconds, 1e-9))


@dataclass(eq=False)
class _Training:
    """One run of a training: everything that its steps share. What is not described is as in `train`."""

    config: TrainConfig
    """With the device."""
    data: TrainingData
    steps_between: Sequence[int]
    """From `validation_steps`."""
    out: Path
    state: TrainingProgress
    """Where the training begins; the run changes it."""
    save_every: int
    keep: Callable[[int], None]

    def __post_init__(self) -> None:
        config = self.config
        data = self.data
        self.counts = [stage.step_count(config.batch_size) for stage in data.stages]
        self.history: list[Sequence[float]] = []
        """A row for each step taken, from `step_numbers`."""
        self.charts = can_draw(CHART)
        self.validation = Decoded(data.validation, len(data.classes))
        self.device = str(config.device)
        self.network: Network = build_network(config, data.classes).to(self.device)  # type: ignore[arg-type]
        self.trainee = Trainee(self.network, config).to(self.device)
        self.optimizer = torch.optim.AdamW(self.trainee.parameter_groups())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def resume(self) -> None:
        """Load the checkpoint of the last run, if there is one, and write the views that it may have left out."""
        if self.state.step:
            self.history = load_checkpoint(self.out / CHECKPOINT, self.trainee, self.optimizer).tolist()
        self._write_views()

    def run(self, progress: Progress | None, workers: int) -> TrainResult:
        """Train until the end, and write the model card. After an interrupt, saves the step and raises
        KeyboardInterrupt."""
        self.resume()
        begun = time.perf_counter()
        already = self.state.step
        with hold_interrupts() as interrupted:
            for number, stage in enumerate(self.data.stages):
                for line in self._run_stage(number, interrupted, workers):
                    if progress is not None:
                        progress(self.state.step, sum(self.counts), f"{stage.name}: {line}")
        seconds = time.perf_counter() - begun
        self._complete()
        return _result(self.out, self.state, seconds, (self.state.step - already) * self.config.batch_size)

    def _run_stage(self, number: int, interrupted: threading.Event, workers: int) -> Iterator[str]:
        """Take the missing steps of a stage. Yields a line about each step: its losses and the last mIoU.

        number: the stage's. interrupted: when it is set, the current step is saved and KeyboardInterrupt raised.
        workers: as in `train`.
        """
        config = self.config
        shown = ""
        count = self.counts[number]
        before = sum(self.counts[:number])
        done = max(self.state.step - before, 0)
        reading = batches(self.data.stages[number], number, config, first=done, workers=workers)
        for step, batch in enumerate(reading, done):
            # 1. One step
            rate = learning_rate_at(step, count, config)
            losses, norm = self.step(batch, rate)
            self.state.step += 1
            miou = None
            is_last = step == count - 1
            if self.validation.items and ((step + 1) % self.steps_between[number] == 0 or is_last):
                miou = self._validate(is_first=self.state.best_step <= before)  # no best in this stage
                shown = f", mIoU {miou:.1%}"
            stop = interrupted.is_set()
            self.history.append(step_numbers(rate * config.learning_rate, losses, norm, miou))

            # 2. A checkpoint, also after each new best network, which is written from it
            is_best = self.state.best_step == self.state.step
            if self.state.step % self.save_every == 0 or is_last or is_best or stop:
                self._commit()
            yield ", ".join(f"{name} {loss:.2f}" for name, loss in losses.items()) + shown
            if stop:
                raise KeyboardInterrupt

    def step(self, batch: Pair, rate: float) -> tuple[dict[str, float], float]:
        """Take one step of AdamW. Returns (losses, norm): name → loss, and the gradient's norm before clipping. rate:
        the factor for all learning rates. Raises UserError if a loss is not a number."""
        config = self.config
        # Every step draws its own points and dropped paths.
        torch.manual_seed((config.seed * 1_000_003 + self.state.step) * 64 + 1)
        self.trainee.train()
        for group, full in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = full * rate
        parts = [torch.from_numpy(array).to(self.device).chunk(config.accumulate) for array in batch]
        total: dict[str, torch.Tensor] = {}
        for part in zip(*parts, strict=True):
            losses = self.trainee(*part)
            loss = torch.stack(list(losses.values())).sum() / config.accumulate
            loss.backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + value.detach() / config.accumulate
        norm = torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), config.clip or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        *values, length = torch.stack([*total.values(), norm]).tolist()  # one transfer from the device
        if not math.isfinite(sum(values)):
            fix = f"lower learning_rate ({config.learning_rate}), or use dtype float32"
            raise UserError(f"step {self.state.step + 1}", "the loss is not a number", fix)
        return dict(zip(total, values, strict=True)), length

    def _validate(self, is_first: bool) -> float:
        """The mIoU of the current network, which the state keeps if it is the best of its stage. is_first: whether the
        stage has no measured network yet."""
        self.network.eval()
        config = self.config
        segmenter = Segmenter(self.network, self.data.classes, config.test_side, self.device, config.dtype)
        miou = measure(segmenter, self.validation)
        if miou > self.state.best or is_first:
            self.state.best, self.state.best_step = miou, self.state.step
        return miou

    def _commit(self) -> None:
        """Write a checkpoint, and its views."""
        write_checkpoint(self.out / CHECKPOINT, self.trainee, self.optimizer, self.state, np.array(self.history))
        self._write_views()
        self.keep(self.state.step)

    def _write_views(self) -> None:
        """Write what follows from the checkpoint: the losses, their chart, and the network if it is the best one, or
        without validation the last one."""
        history = np.array(self.history)
        batch_size = self.config.batch_size
        write_atomic(self.out / LOSSES, losses_csv(history, self.data.stages, batch_size))
        if not self.charts:  # an earlier run's chart would lack the new steps
            (self.out / CHART).unlink(missing_ok=True)
        elif self.history:
            write_atomic(self.out / CHART, draw_losses(history, self.data.stages, batch_size))
        kept_step = self.state.best_step or sum(self.counts)
        if self.state.step == kept_step:
            self._write_network()

    def _write_network(self) -> None:
        config = self.network.config
        config.architectures = [type(self.network).__name__]
        about = {**json.loads(config.to_json_string(use_diff=False)), "test_side": self.config.test_side}
        weights = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        write_tensors(self.out / "model.safetensors", weights, {"format": "pt"})
        write_atomic(self.out / "config.json", (json.dumps(about, indent=2) + "\n").encode())

    def _complete(self) -> None:
        """Write the files of a training whose steps are all taken."""
        parameters = sum(p.numel() for p in self.network.parameters())
        write_atomic(self.out / RECORD, (json.dumps(asdict(self.state), indent=2) + "\n").encode())
        card = model_card(self.config, self.data, self.state, np.array(self.history), parameters, self.charts)
        write_atomic(self.out / CARD, card.encode())  # marks the training as finished
        (self.out / CHECKPOINT).unlink(missing_ok=True)


@contextmanager
def hold_interrupts() -> Iterator[threading.Event]:
    """In this block, the first interrupt (SIGINT) only sets the event that this yields, so that a step can be finished
    and saved. The second interrupt takes effect at once. At the end of the block, KeyboardInterrupt is raised for the
    first. In other threads than the main one, where Python handles no interrupts, this does nothing."""
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield interrupted
        return

    def hold(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, hold)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted.is_set():
        raise KeyboardInterrupt


def learning_rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """The factor for all learning rates at a step of a stage. step: counted from 0. steps: how many the stage has."""
    rising = min(1.0, (step + 1) / max(config.warmup, 1))
    if config.schedule == "poly":
        return rising * (1 - step / steps) ** config.power
    return rising * 0.1 ** sum(step >= share * steps for share in config.drops)


def measure(segmenter: Segmenter, decoded: Decoded) -> float:
    """The mIoU of a segmenter on decoded samples, over the classes and the background."""
    classes = 1 + len(segmenter.classes)
    total = np.zeros((classes, classes + 1), np.int64)
    for first in range(0, len(decoded.items), VALIDATED_TOGETHER):
        pairs = [decoded[i] for i in range(first, min(first + VALIDATED_TOGETHER, len(decoded.items)))]
        predictions = segmenter.label_maps([np.asarray(image) for image, _ in pairs])
        for predicted, (_, truth) in zip(predictions, pairs, strict=True):
            total += confusion(predicted, np.asarray(truth), classes)
    return float(mean_iou(class_iou(count_classes(total))))
