"""The training loop: stages → a folder that transformers, `seediff predict` and `seediff evaluate` read.

    out/  config.json, model.safetensors   the network with the best validation mIoU, or the last one without validation
          seediff.toml                     the exact configuration     losses.csv    one row per step
          classes.txt                      line i (from 0) = id i
          checkpoint.safetensors           while unfinished            README.md     the model card; written last

A killed run continues from its last checkpoint, a run ended by Ctrl-C from its last step. On the same kind of CPU with the same number of
threads, it ends with the same bytes as an undisturbed run. On CUDA the last bits differ, because the gradients of grid_sample and
interpolate are added in no fixed order.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import torch

from ..config.base import differences, load_config
from ..config.train import TrainConfig, with_device
from ..dataset import native
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.documents import read_json
from ..files.messages import printable, shown
from ..files.output_folders import open_folder
from ..files.outputs import make_folders, remove_inside, write_atomic, write_tensors
from ..metrics.confusion import Confusion
from .data import Batch, Decoded, Stage, batches, reading_threads
from .models import Network, Trainee, averaged, build_network, parameter_groups, with_queries
from .predict import Segmenter
from .processes import Interrupts, Processes, find_processes
from .record import CHECKPOINT, LOSSES, Losses, model_card, read_checkpoint, read_losses, read_state, step_seed, write_checkpoint

if TYPE_CHECKING:
    from ..workers import Progress

VALIDATED_TOGETHER = 16
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


@dataclass(frozen=True)
class TrainResult:
    """The result of a training. miou: of the network in `out`; NaN without validation. seconds, images_per_second: of this run only.
    waited: share of its time spent waiting for batches."""

    out: Path
    steps: int
    miou: float
    best_step: int
    seconds: float
    images_per_second: float
    waited: float


@dataclass
class _State:
    """The progress of a training. `best` is the mIoU of the network in the folder."""

    step: Count = 0
    best: Annotated[float, msgspec.Meta(ge=-1, le=1)] = -1.0
    best_step: Count = 0
    stages: list[dict[str, Any]] = field(default_factory=list)
    validation: list[Count] = field(default_factory=list)
    """The number of samples, then the steps between validations for each stage: these decide which network is kept."""
    data: list[str] = field(default_factory=list)
    """The digests of `check_stages`; empty if an earlier version of SeeDiff began the training."""


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
    tensorboard: bool = False,
    keep: Callable[[int], None] | None = None,
) -> TrainResult:
    """Train on the stages one after the other and write the network to `out`. Continues an unfinished training there.

    validation: samples whose mIoU, over all classes and the background, decides which network is kept. It is measured every
        `validate_every` steps (None: once per epoch, at least 50 steps apart) and at the end of each stage.
    save_every: steps between checkpoints; each new best network has one, too. workers: threads that read images ahead; None: one per core,
        at most 8; 0: none.
    keep: called with the number of saved steps, by the first process, at the start and after every checkpoint.

    An interrupt (SIGINT) finishes and saves the current step, then stops. A second one, at least a second later, stops at once. Raises
    UserError, before any step, for unusable data and for a folder with another training, or one on other data.
    """
    config = with_queries(with_device(config))
    data = check_stages(stages, validation)
    processes = find_processes(config.device)
    if config.batch_size % (processes.count * config.accumulate):
        raise UserError(
            f"batch_size = {config.batch_size}: cannot be divided among {processes.count} processes × {config.accumulate} parts"
        )
    every = [validate_every or max(50, round(len(stage.items) / config.batch_size)) for stage in stages]
    new = _State(stages=[describe_stage(stage, config) for stage in stages], validation=[len(validation), *every], data=data)
    with open_folder(out) if processes.first else nullcontext():
        state = _look_into(out, config, new) if processes.first else new
        processes.wait()
        if (out / native.CARD).is_file():
            if processes.first:
                remove_inside(out, CHECKPOINT)  # a run that was killed after the card left it
            return TrainResult(out, state.step, state.best if state.best >= 0 else math.nan, state.best_step, 0.0, 0.0, 0.0)
        if not processes.first:  # the first process has just checked it
            state = read_state(out / CHECKPOINT, _State) if (out / CHECKPOINT).is_file() else new
        elif not (out / CHECKPOINT).is_file():
            write_atomic(out / native.CONFIG, config.to_toml().encode())
            write_atomic(out / native.CLASSES, native.classes_text(stages[0].classes))
        processes.wait()
        keep = keep if keep is not None and processes.first else lambda steps: None
        keep(state.step)
        with torch.random.fork_rng():  # every step is seeded; the caller's random numbers go on as if nothing had happened
            return _Training(config, stages, out, state, processes, validation, save_every, keep).run(
                progress, reading_threads() if workers is None else workers, tensorboard
            )


def check_stages(stages: Sequence[Stage], validation: Sequence[Sample] = ()) -> list[str]:
    """A digest of the samples of each stage, and of those for validation, if there are any: of their names, the sizes in bytes of their
    pictures, and their label maps.

    Raises UserError if stages differ in classes, or if labels cannot be read, have unknown ids or show no class at all. Reads every label
    map once, which is quick compared with training."""
    if not stages:
        raise UserError("nothing to train on: no stage")
    classes = stages[0].classes
    for stage in stages:
        if stage.classes != classes:
            raise UserError(f"stage '{stage.name}': its classes are not those of stage '{stages[0].name}': {', '.join(classes)}")
    digests = []
    checked = [(f"stage '{stage.name}'", stage.items) for stage in stages]
    for what, items in [*checked, *([("validation", validation)] if validation else [])]:
        digest, shows_a_class = hashlib.blake2b(digest_size=6), False
        for item in items:  # all of them, to find every fault now
            labels = item.labels(len(classes))
            shows_a_class |= bool(((labels > 0) & (labels < 255)).any())
            size = len(item.source) if isinstance(item.source, bytes) else item.source.stat().st_size
            digest.update(f"{item.name}\n{size} {labels.shape}\n".encode("utf-8", "surrogatepass") + labels.tobytes())
        if not shows_a_class:
            raise UserError(f"{what}: none of its {len(items)} label maps shows a class: there is nothing to learn")
        digests.append(digest.hexdigest())
    return digests


def describe_stage(stage: Stage, config: TrainConfig) -> dict[str, Any]:
    """Everything about a stage but its samples that decides the training, for the checkpoint and the card."""
    return {
        "name": stage.name,
        "samples": len(stage.items),
        "classes": list(stage.classes),
        "steps": stage.step_count(config.batch_size),
        "mix": [list(part) for part in stage.mix],
    }


def _look_into(out: Path, config: TrainConfig, new: _State) -> _State:
    """The state of the training in `out`. Raises UserError if `out` holds anything else, or a training with another configuration or
    on other data."""
    names = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if not names:
        return new
    if native.CONFIG not in names:
        raise UserError(out, f"not empty and no training of SeeDiff (it holds {names[0]})", "choose another folder")
    saved = with_device(load_config(out / native.CONFIG, TrainConfig))
    changed = differences(saved, config)
    state = new
    record = out / "training.json"
    if (out / CHECKPOINT).is_file():
        state = read_state(out / CHECKPOINT, _State)
    elif record.is_file():
        state = read_json(record, _State)
    elif not changed or not (out / LOSSES).is_file():
        return state  # killed before its first checkpoint: start again
    if state.stages != new.stages:
        changed += _stage_differences(state.stages, new.stages)
    if state.validation != new.validation:
        changed.append(f"validation (samples, steps between): {state.validation} → {new.validation}")
    if not changed:  # other numbers or classes make other data, too
        trained_on = [*(f"stage '{stage['name']}'" for stage in new.stages), "validation"]
        pairs = zip(trained_on, state.data, new.data, strict=False)
        changed = [f"{what} had other samples or masks" for what, before, now in pairs if before != now]
    if changed:
        fix = "choose another folder, or give the same options and data as before"
        raise UserError(out, f"holds another training ({'; '.join(changed)})", fix)
    return state


def _stage_differences(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    if len(old) != len(new):
        return [f"stages: {len(old)} → {len(new)}"]
    return [
        f"{key} of stage '{b['name']}': {shown(a.get(key))} → {shown(b[key])}"
        if key != "classes"
        else f"classes: {printable(', '.join(map(str, a.get(key) or ())))} → {', '.join(b[key])}"
        for a, b in zip(old, new, strict=True)
        for key in b
        if a.get(key) != b[key]
    ]


class _Training:
    """The state of one run, which all its steps share."""

    def __init__(
        self,
        config: TrainConfig,
        stages: Sequence[Stage],
        out: Path,
        state: _State,
        processes: Processes,
        validation: Sequence[Sample],
        save_every: int,
        keep: Callable[[int], None],
    ) -> None:
        self.config, self.stages, self.out, self.state, self.processes = config, stages, out, state, processes
        self.save_every, self.keep = save_every, keep
        self.interrupts = Interrupts()
        self.device = processes.accelerator.device.type if processes.accelerator else str(config.device)
        self.network: Network = build_network(config, stages[0].classes).to(self.device)  # type: ignore[arg-type]
        self.trainee = Trainee(self.network, config).to(self.device)
        self.optimizer = torch.optim.AdamW(parameter_groups(self.trainee, config))
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()} if config.ema else None
        if state.step:
            average = read_checkpoint(out / CHECKPOINT, self.trainee, self.optimizer)
            self.average = {k: v.to(self.device) for k, v in average.items()} if average else None
        self.called = processes.prepare(self.trainee)
        self.validation = Decoded(validation, len(stages[0].classes)) if validation and processes.first else None
        self.losses = Losses(out / LOSSES, state.step) if processes.first else None
        self.waited = 0.0

    def run(self, progress: Progress | None, workers: int, tensorboard: bool) -> TrainResult:
        begun, first_step = time.perf_counter(), self.state.step
        counts = [stage.step_count(self.config.batch_size) for stage in self.stages]
        board = _tensorboard(self.out) if tensorboard and self.processes.first else None
        start = 0
        with self.interrupts.held():
            for number, (stage, count) in enumerate(zip(self.stages, counts, strict=True)):
                done = min(max(self.state.step - start, 0), count)
                if done < count:
                    self._run_stage(number, stage, start, done, sum(counts), progress, workers, board)
                start += count
        seconds = time.perf_counter() - begun
        self._finish()
        steps = self.state.step - first_step
        return TrainResult(
            self.out,
            self.state.step,
            self.state.best if self.state.best >= 0 else math.nan,
            self.state.best_step,
            seconds,
            steps * self.config.batch_size / max(seconds, 1e-9),
            self.waited / max(seconds, 1e-9),
        )

    def _run_stage(
        self, number: int, stage: Stage, start: int, done: int, total: int, progress: Progress | None, workers: int, board: Any
    ) -> None:
        config, count = self.config, stage.step_count(self.config.batch_size)
        validate_every = self.state.validation[1 + number]
        share = (self.processes.rank, self.processes.count)
        reading = batches(stage, number, config, first=done, share=share, workers=workers)
        shown = ""
        for step in range(done, count):
            asked = time.perf_counter()
            batch = next(reading)
            self.waited += time.perf_counter() - asked
            rate = learning_rate_at(step, count, config)
            losses, norm = self.step(batch, rate)
            self.state.step = now = start + step + 1
            if not math.isfinite(sum(losses.values())):
                raise UserError(f"step {now}: the loss is not a number; lower learning_rate ({config.learning_rate}), or use dtype float32")
            last = step == count - 1
            miou = None
            if self.validation is not None and ((step + 1) % validate_every == 0 or last):
                miou = self._validate(is_best_of=number)
                shown = f", mIoU {miou:.3f}"
            stop = self.processes.any(self.interrupts.asked)
            if self.losses is not None:
                self.losses.add(now, stage.name, rate * config.learning_rate, losses, norm, miou)
                if board is not None:
                    for name, value in losses.items():
                        board.add_scalar(f"losses/{name}", value, now)
                    if miou is not None:
                        board.add_scalar("miou", miou, now)
                # A new best network, too: on CUDA, its step done again after a kill would measure something slightly different.
                if now % self.save_every == 0 or last or stop or self.state.best_step == now:
                    self._save()
            if progress is not None and self.processes.first:
                progress(now, total, f"{stage.name}: " + ", ".join(f"{k} {v:.2f}" for k, v in losses.items()) + shown)
            if stop:
                self.processes.wait()  # a launcher kills all processes when one ends, so wait for the checkpoint
                self.interrupts.deliver()
        reading.close()  # type: ignore[attr-defined]

    def step(self, batch: Batch, rate: float) -> tuple[dict[str, float], float]:
        """One step of AdamW at `rate` times the learning rates. Returns the losses, and the gradient's norm before clipping."""
        config = self.config
        torch.manual_seed(step_seed(config.seed, self.state.step, self.processes.rank))
        self.trainee.train()
        for group, full in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = full * rate
        parts = [torch.from_numpy(array).to(self.device).chunk(config.accumulate) for array in (batch.images, batch.labels)]
        total: dict[str, torch.Tensor] = {}
        for part in zip(*parts, strict=True):
            losses = self.called(*part)
            loss = torch.stack(list(losses.values())).sum() / config.accumulate
            self.processes.accelerator.backward(loss) if self.processes.accelerator else loss.backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + value.detach() / config.accumulate
        norm = torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), config.clip or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average = averaged(self.average, self.network, config.ema)
        values = self.processes.mean(torch.stack([*total.values(), norm])).tolist()  # one transfer from the device
        return dict(zip(total, values, strict=False)), values[-1]

    def _weights(self) -> dict[str, torch.Tensor]:
        return self.average if self.average is not None else self.network.state_dict()

    def _validate(self, is_best_of: int) -> float:
        """The mIoU of the current weights (or their average). Writes the network if it is the best of this stage."""
        assert self.validation is not None
        last = {k: v.clone() for k, v in self.network.state_dict().items()} if self.average is not None else None
        if self.average is not None:
            self.network.load_state_dict(self.average)
        classes = self.stages[0].classes
        self.network.eval()
        segmenter = Segmenter(self.network, classes, self.config.test_side, self.device, self.config.dtype)
        miou = measure(segmenter, self.validation)
        if last is not None:
            self.network.load_state_dict(last)
        before = self.state.best_step > sum(s.step_count(self.config.batch_size) for s in self.stages[:is_best_of])
        if miou > self.state.best or not before:
            self.state.best, self.state.best_step = miou, self.state.step
            self._write_network()
        return miou

    def _write_network(self) -> None:
        config = self.network.config
        config.architectures = [type(self.network).__name__]
        about = {**json.loads(config.to_json_string(use_diff=False)), "test_side": self.config.test_side}
        write_tensors(self.out / "model.safetensors", {k: v.cpu().contiguous() for k, v in self._weights().items()}, {"format": "pt"})
        write_atomic(self.out / "config.json", (json.dumps(about, indent=2) + "\n").encode())

    def _save(self) -> None:
        write_checkpoint(self.out / CHECKPOINT, self.trainee, self.optimizer, self.average, asdict(self.state))
        self.keep(self.state.step)

    def _finish(self) -> None:
        if self.processes.first:
            if self.validation is None:
                self._write_network()
            parameters = sum(p.numel() for p in self.network.parameters())
            write_atomic(self.out / "training.json", (json.dumps(asdict(self.state), indent=2) + "\n").encode())
            rows = read_losses(self.out / LOSSES)
            card = model_card(self.config, self.state.stages, rows, self.state.best, self.state.best_step, parameters)
            write_atomic(self.out / native.CARD, card.encode())  # marks the training as finished
            remove_inside(self.out, CHECKPOINT)
        self.processes.wait()


def learning_rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """The factor on the learning rates at a step (counted from 0) of a stage with `steps` steps."""
    rising = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "poly":
        return rising * (1 - step / steps) ** config.power
    return rising * 0.1 ** sum(step >= share * steps for share in config.drops)


def measure(segmenter: Segmenter, decoded: Decoded) -> float:
    """mIoU over the classes and the background of decoded samples."""
    confusion = Confusion(1 + len(segmenter.classes))
    for first in range(0, len(decoded.items), VALIDATED_TOGETHER):
        pairs = [decoded[i] for i in range(first, min(first + VALIDATED_TOGETHER, len(decoded.items)))]
        predictions = segmenter.label_maps([np.asarray(image) for image, _ in pairs])
        for predicted, (_, truth) in zip(predictions, pairs, strict=True):
            confusion.add(predicted, np.asarray(truth))
    return confusion.miou()


def _tensorboard(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("tensorboard", "needs a package that is not installed", "pip install tensorboard") from error
    return SummaryWriter(str(make_folders(out, "tensorboard")))


def count_parameters(config: TrainConfig, classes: Sequence[str]) -> int:
    """The number of parameters of the network to train. Builds it without memory for weights."""
    with torch.device("meta"):
        return sum(p.numel() for p in build_network(replace(config, weights="scratch"), classes).parameters())
