"""Whether a training can go on: everything about its data that decides it, and what differs from the training in a
folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config.base import differences
from ..config.resolve import load_config
from ..config.train import TrainConfig, with_device
from ..dataset import native
from ..dataset.sample import Sample
from ..errors import UserError
from ..files.documents import read_json
from ..files.messages import show_json
from .data import Stage
from .record import CHECKPOINT, LOSSES, State, read_state

RECORD = "training.json"


def check_stages(stages: Sequence[Stage], validation: Sequence[Sample] = ()) -> list[str]:
    """A digest of the samples of each stage, and of those for validation, if there are any: of their names, the sizes
    in bytes of their pictures, and their label maps.

    Raises UserError if stages differ in classes, or if labels cannot be read, have unknown ids or show no class at all.
    Reads every label map once, which is quick compared with training."""
    if not stages:
        raise UserError("nothing to train on: no stage")
    classes = stages[0].classes
    for stage in stages:
        if stage.classes != classes:
            raise UserError(
                f"stage '{stage.name}': its classes are not those of stage '{stages[0].name}': {', '.join(classes)}"
            )
    digests = []
    checked = [(f"stage '{stage.name}'", stage.items) for stage in stages]
    for what, items in [*checked, *([("validation", validation)] if validation else [])]:
        digest, shows_a_class = hashlib.blake2b(digest_size=6), False
        for item in items:  # all of them, to find every fault now
            labels = item.labels(len(classes))
            shows_a_class |= bool(((labels > 0) & (labels < 255)).any())
            size = len(source) if isinstance(source := item.stored(), bytes) else source.stat().st_size
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


def find_state(out: Path, config: TrainConfig, new: State) -> State:
    """The state of the training in `out`, which is `new` if none has begun. Raises UserError if `out` holds anything
    else, or a training with another configuration or on other data."""
    names = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if not names:
        return new
    if native.CONFIG not in names:
        raise UserError(out, f"not empty and no training of SeeDiff (it holds {names[0]})", "choose another folder")
    changed = differences(with_device(load_config(out / native.CONFIG, TrainConfig)), config)
    state = new
    if (out / CHECKPOINT).is_file():
        state = read_state(out / CHECKPOINT)
    elif (out / RECORD).is_file():
        state = read_json(out / RECORD, State)
    elif not changed or not (out / LOSSES).is_file():
        return state  # killed before its first checkpoint: start again
    before, after = _facts(state), _facts(new)
    changed += [
        f"{key}: {show_json(before.get(key))} → {show_json(after.get(key))}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
    if changed:
        fix = "choose another folder, or give the same options and data as before"
        raise UserError(out, f"holds another training ({'; '.join(changed)})", fix)
    return state


def _facts(state: State) -> dict[str, Any]:
    """Everything about the data of a training that decides it."""
    facts = {f"{key} of stage '{stage['name']}'": value for stage in state.stages for key, value in stage.items()}
    sets = [*(f"stage '{stage['name']}'" for stage in state.stages), "validation"]
    facts |= {f"samples and masks of {what}": digest for what, digest in zip(sets, state.data, strict=False)}
    return {**facts, "validation (samples, steps between)": state.validation}
