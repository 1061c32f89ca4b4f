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
    """Train a segmenter like `seediff train`, and write it to the folder `out`. If it was stopped, the same call continues.

    data: a `Dataset`, a folder of any format, or several of them. validation: likewise; the segmenter with the best mIoU on it is kept.
    Default: the `val` parts of `data`, if there are any. epochs, steps: length of the training; default 10 epochs. options: fields of
    `TrainConfig`, such as backbone="tiny" for small pictures on a CPU. Raises UserError for unusable data, and for a folder with another
    training.
    """
    sets = [data] if isinstance(data, Data) else list(data)
    plan = plan_training(sets, epochs=epochs, steps=steps, validation=validation)
    return train(make_config(options), plan.stages, Path(out), progress, validation=plan.validation)
