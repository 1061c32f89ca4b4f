"""Training from Python in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.train import make_config
from .plan import Data, plan_training
from .run import TrainResult, train

if TYPE_CHECKING:
    from ..workers import Progress


def train_segmenter(
    data: Data | Sequence[Data],
    out: Path | str,
    *,
    validation: Data | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> TrainResult:
    """Train a segmenter as `seediff train` does, and leave it in the folder `out`. Stopped at any moment, the same call continues.

    data: a `Dataset`, a folder of any format, or several of them. validation: likewise; the segmenter of the best mIoU on it is kept.
    Without it, the `val` part of `data`, if that has one. epochs, steps: how long; 10 epochs where neither is given. options: fields of
    `TrainConfig`, such as backbone="tiny" for small pictures on a CPU. Raises UserError for data that cannot be trained on, and for a
    folder with another training.
    """
    sets = [data] if isinstance(data, Data) else list(data)
    plan = plan_training(sets, epochs=epochs, steps=steps, validation=validation)
    return train(make_config(options), plan.stages, Path(out), progress, validation=plan.validation)
