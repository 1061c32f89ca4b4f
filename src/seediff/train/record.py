"""The checkpoint of a training: one safetensors file with the network, AdamW's moments, the progress, and the history,
which is the losses of every step. A training continues from it alone (`find_state`, `load_checkpoint`); the files for
people are written from its contents (views.py). Random numbers need no state, because every step has its own seed.

trained_on.txt, beside it, says which pictures the network knows. Of a finished segmenter, config.json says what it is.
All of this is read without torch, which takes seconds to import.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from ..config.class_names import BACKGROUND
from ..config.settings import differences, load_config
from ..config.train import BACKBONES, LARGEST_SIDE, TrainConfig, with_device
from ..dataset.class_lists import check_class_list
from ..dataset.sample import Sample
from ..errors import UserError, foreign_errors
from ..files.messages import show_json
from ..files.names import CARD, CONFIG
from ..files.outputs import check_unused, names_begun, write_atomic
from ..files.reading import fit, read_json, read_lines
from ..files.tensors import read_header, write_tensors
from ..models.no_code import check_settings
from .stages import image_digest

if TYPE_CHECKING:
    import torch
    from torch import nn

ABOUT = "config.json"
"""A finished segmenter's file, which says what it is (`About`)."""
LOSSES = "losses.csv"
RECORD = "training.json"
TRAINED_ON = "trained_on.txt"
"""A file with the `image_digest` of a picture in each line."""
NUMBERS: dict[str, str] = {
    **dict.fromkeys(("learning_rate", "class", "mask", "dice", "auxiliary", "loss", "gradient_norm"), ".6g"),
    "miou": ".4f",
}
"""Column of losses.csv, behind the columns `step` and `stage` → the format of its numbers."""
CHECKPOINT, OF_CHECKPOINT = "checkpoint.safetensors", "the state of a training"
DAMAGED = "holds a training that is damaged or of another version of seediff"
HISTORY = "history"
"""A checkpoint's tensor (steps, len(NUMBERS)) float64 with the numbers of every step, rounded as in losses.csv; NaN: no
number."""
StepNumber = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


@dataclass
class TrainingProgress:
    """The progress of a training."""

    step: StepNumber = 0
    best: Annotated[float, msgspec.Meta(ge=-1, le=1)] = -1.0
    """The mIoU of the network in the folder; −1: not measured yet."""
    best_step: StepNumber = 0
    data: dict[str, Any] = field(default_factory=dict)
    """The facts from `data_fingerprint`. A training continues only if they are equal."""


def step_numbers(rate: float, losses: Mapping[str, float], norm: float, miou: float | None) -> list[float]:
    """A step's row of the history. rate: the learning rate. losses: name → loss. norm: of the gradient. miou: None: not
    measured after this step."""
    numbers = {"learning_rate": rate, **losses, "loss": sum(losses.values()), "gradient_norm": norm}
    if miou is not None:
        numbers["miou"] = miou
    return [float(format(numbers.get(name, math.nan), form)) for name, form in NUMBERS.items()]


def write_trained_on(out: Path, samples: Iterable[Sample]) -> None:
    """Write trained_on.txt, by which `evaluate` recognises the pictures of these samples under any name."""
    digests = sorted({image_digest(sample.image_file) for sample in samples})
    write_atomic(out / TRAINED_ON, "".join(f"{digest}\n" for digest in digests).encode())


def read_trained_on(folder: Path) -> frozenset[str]:
    """The digests in trained_on.txt; empty without that file."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return frozenset()
    return frozenset(read_lines(path))


def write_checkpoint(
    path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingProgress, history: np.ndarray
) -> None:
    """Write a checkpoint atomically: a killed run leaves the previous one. history: see HISTORY."""
    import torch

    tensors = {HISTORY: torch.from_numpy(history)}
    tensors |= {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adamw.{number}.{name}": value for name, value in moments.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_tensors(path, tensors, {"state": json.dumps(asdict(state))})


def load_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer) -> np.ndarray:
    """The history in a checkpoint, whose other tensors are loaded into the trainee and the optimizer. Raises UserError
    if they are damaged or of another network."""
    weights: dict[str, torch.Tensor] = {}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    file = read_header(path)
    tensors = file.load("pt")
    problem = "is damaged, or the checkpoint of another network"
    with foreign_errors(path, problem, "choose another --out"):
        history = tensors.pop(HISTORY).numpy()
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part == "trainee":
                weights[rest] = value
            else:  # adamw.NUMBER.KIND
                number, _, kind = rest.partition(".")
                moments.setdefault(int(number), {})[kind] = value
        trainee.load_state_dict(weights)
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return history


def read_state(path: Path) -> TrainingProgress:
    """The state in a checkpoint. Raises UserError if the file is no checkpoint."""
    file = read_header(path)
    state = file.about("state", TrainingProgress, OF_CHECKPOINT)
    file.check(HISTORY, "F64", (state.step, len(NUMBERS)), OF_CHECKPOINT)
    return state


def find_begun(out: Path) -> TrainConfig | None:
    """The configuration of the training in a folder; None for an empty or missing folder. Raises UserError if the
    folder holds anything else."""
    if not names_begun(out, "a training"):
        return None
    try:
        return load_config(out / CONFIG, TrainConfig)
    except UserError as error:
        raise UserError(out, f"{DAMAGED} ({error})", "choose another folder") from error


def find_state(out: Path, config: TrainConfig, new: TrainingProgress) -> TrainingProgress:
    """The progress of the training in the folder `out`; `new` if none has begun there, or if it has no checkpoint yet.

    config: of the training to run. new: its state at the beginning, with the facts about its data. Raises UserError if
    `out` holds anything but a training with the same configuration on the same data.
    """
    saved = find_begun(out)
    state = new
    if saved is None:
        return new
    try:
        if (out / CHECKPOINT).exists():
            state = read_state(out / CHECKPOINT)
        elif (out / RECORD).exists() or (out / CARD).exists():
            state = read_json(out / RECORD, TrainingProgress)
    except UserError as error:
        raise UserError(out, f"{DAMAGED} ({error})", "choose another folder") from error
    changed = differences(with_device(saved), config)
    for key in {**state.data, **new.data}:
        before, now = state.data.get(key), new.data.get(key)
        if before != now:
            changed.append(f"{key}: {show_json(before)} → {show_json(now)}")
    has_begun = state is not new or (out / LOSSES).exists()
    if changed and has_begun:
        fix = "choose another folder, or give the same options and data as before"
        raise UserError(out, f"holds another training ({'; '.join(changed)})", fix)
    return state


# A finished segmenter.

BACKBONE_TYPES = ("resnet", "swin")
"""transformers' `model_type` of the allowed Mask2Former backbones."""


class About(msgspec.Struct, frozen=True):
    """The relevant part of a segmenter's config.json."""

    model_type: str
    id2label: dict[str, str]
    """Id → class; "0" is the background."""
    test_side: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)] | None = None


def read_about(folder: Path) -> tuple[About, tuple[str, ...]]:
    """(about, classes): a segmenter's config.json, and its classes without the background. Raises UserError as
    `read_network_config` does, and for a faulty list of classes."""
    path = folder / ABOUT
    about = fit(read_network_config(path, BACKBONES), About, str(path))
    names = tuple(about.id2label.get(str(i), "") for i in range(len(about.id2label)))
    if len(names) < 2 or "" in names:
        raise UserError(path, f"id2label must name 0, 1, 2, … in turn, not {show_json(about.id2label)}")
    if names[0] != BACKGROUND:
        problem = f"class 0 must be '{BACKGROUND}', not {show_json(names[0])}"
        raise UserError(path, problem, "only segmenters of `seediff train` can be used")
    check_class_list(names[1:], f"{path}: id2label")
    return about, names[1:]


def read_network_config(path: Path, kinds: Collection[str]) -> dict[str, Any]:
    """The contents of a network's config.json. kinds: the allowed `model_type`s. Raises UserError for another one, for
    a backbone outside BACKBONE_TYPES, and for settings that would run foreign code or read other files."""
    settings = read_json(path, dict[str, Any])
    kind = settings.get("model_type")
    if kind not in tuple(kinds):
        raise UserError(path, f"model_type = {show_json(kind)} must be {' or '.join(map(repr, kinds))}")
    check_settings(path, settings)
    backbone = settings.get("backbone_config") or {}
    if not isinstance(backbone, dict) or backbone.get("model_type", "swin") not in BACKBONE_TYPES:
        raise UserError(path, f"model_type of backbone_config = {show_json(backbone)} must be resnet or swin")
    if settings.get("backbone") is not None:
        raise UserError(path, f"backbone = {show_json(settings['backbone'])} names another model", "remove that key")
    return settings


def is_training(folder: Path) -> bool:
    """Whether a folder is of a training, finished or not."""
    return any((folder / name).is_file() for name in (ABOUT, CHECKPOINT, LOSSES))


def check_segmenter(folder: Path) -> Path:
    """The folder. Raises UserError if it has no finished segmenter."""
    if not folder.is_dir():
        raise UserError(folder, "no such folder")
    if not (folder / ABOUT).is_file():
        if is_training(folder):
            check_unused(folder)
            fix = "run the same `seediff train` command to continue it"
            raise UserError(folder, "its training is not finished", fix)
        raise UserError(folder, "has no config.json", "name the --out folder of a finished `seediff train`")
    return folder
