"""Makes tables of trained segmenters: for every row and seed, the samples, a segmenter trained on them, and its scores.

Every result is stored under a digest of everything that determines it, and is made once for all tables: an interrupted
study continues, a row that several tables share is trained once, and a changed row is trained again.

    work/segmenters/<digest>/          as `seediff train` writes it
    work/scores/SEGMENTER-TEST.json    figures, as `seediff evaluate` writes them
    out/results.json, .md              results.py; a table continues from them after its work folder is lost
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, structs

from recipes.fingerprints import content_fingerprint
from recipes.mini.world import RENDERED
from seediff import __version__
from seediff.config.fields import Count
from seediff.config.settings import check_table
from seediff.config.train import TrainConfig, make_config, with_device
from seediff.dataset.sample import Sample
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate
from seediff.files.names import CARD
from seediff.files.outputs import write_atomic
from seediff.files.reading import fit, read_json
from seediff.models.locate import resolve_name

from .definition import HeldOut, Row, Table, used_data
from .sources import (
    Places,
    check_named,
    classes_of,
    described,
    digest,
    once,
    open_source,
    open_test,
    set_config,
)

Epochs: Any = Annotated[float, Meta(gt=0)]
Steps: Any = Count
RESULTS = "results.json"
SHOWN = ("miou", "miou_ci95", "pixel_accuracy", "pixel_accuracy_ci95")
"""The scores that tables show, and keep, beside those of groups and classes; `seediff evaluate` writes more."""
EPOCHS = 20.0
"""The number of epochs if the table gives neither epochs nor steps."""


@dataclass(frozen=True)
class Kept:
    """The figures in the work folder, and those read from results.json files."""

    work: Path
    reused_scores: Mapping[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def scores(self, segmenter: str, test: str) -> dict[str, Any] | None:
        """The stored scores of a segmenter on a test; None if there are none."""
        path = self._scores_path(segmenter, test)
        return read_scores(path) if path.is_file() else self.reused_scores.get((segmenter, test))

    def add_scores(self, segmenter: str, test: str, scores: Mapping[str, Any]) -> dict[str, Any]:
        """Store scores, and return them as they are read back."""
        path = self._scores_path(segmenter, test)
        write_atomic(path, (json.dumps(scores, indent=1) + "\n").encode())
        return read_scores(path)

    def _scores_path(self, segmenter: str, test: str) -> Path:
        return self.work / "scores" / f"{segmenter}-{test}.json"


@dataclass(frozen=True)
class Training:
    """A segmenter to train. data: names of data. epochs, steps: the length; one of them is None. base: the training
    that it continues.
    """

    config: TrainConfig
    data: tuple[str, ...]
    epochs: float | None
    steps: int | None = None
    base: Training | None = None


def run_table(
    table: Table,
    places: Places,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    kept: Kept | None = None,
) -> dict[str, Any]:
    """Make the missing parts of a table, measure them, and return the table's results.

    kept: figures that exist already, by default those of the work folder.
    Raises UserError, before anything is drawn or trained, if anything needed is missing.
    """
    kept = kept or open_kept(places.work)
    check(table, places, seeds, kept)
    rows = []
    for row in table.rows:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in row.tests}
        segmenters = []
        for seed in seeds:
            training = training_of(row, table, seed)
            label = f"{row.name}, seed {seed}"
            segmenter = training_digest(training, row, table, places)
            for name in row.tests:
                scores = kept.scores(segmenter, test_digest(table.tests[name], places))
                if scores is None:
                    folder = train_one(training, row, table, places, label)
                    scores = score_one(folder, table.tests[name], places, kept, f"{label}: measuring on {name}")
                found[name].append(scores)
            segmenters.append(segmenter)
        about = {"name": row.name, "paper": row.paper, "train": list(row.train), "then": list(row.then)}
        if row.reference:
            about["reference"] = row.reference
        rows.append({**about, "segmenters": segmenters, "tests": found})
    return {
        "table": table.name,
        "title": table.title,
        "paper": table.paper,
        "note": table.note,
        "reference": table.reference,
        "metrics": list(table.metrics),
        "classes": {test: list(classes) for test, classes in table.classes.items()},
        "seeds": list(seeds),
        "train": {key: _json(value) for key, value in table.train.items()},
        "data": {name: described(table.data[name], table.sets, places) for name in used_data(table.rows)},
        "test_keys": {name: test_digest(table.tests[name], places) for row in table.rows for name in row.tests},
        "rows": rows,
        "version": __version__,
    }


def check(table: Table, places: Places, seeds: Sequence[int], kept: Kept | None = None) -> None:
    """Raise UserError for what would stop the study later: data that is not named or cannot be used, missing art, wrong
    training options, unavailable weights. Rows whose figures are all kept need no art and no model, but they do need
    the folders of their data."""
    from seediff.train.models import find_weights

    for row in table.rows:
        training = training_of(row, table, seeds[0])
        if kept is None or not has_figures(row, table, places, seeds, kept):
            find_weights(with_device((training.base or training).config))
            for name in used_data([row]):
                check_source(name, table, places)
    for test in table.tests.values():
        open_test(test, places)


def planned(table: Table, seeds: Sequence[int]) -> list[str]:
    """A line per set of images and per training that a table needs if nothing exists yet. Raises UserError for a faulty
    table.
    """
    sources = [table.data[name] for name in used_data(table.rows)]
    drawn = {(source.set, source.seed): set_config(source, table.sets) for source in sources if source.set}
    lines = [
        f"draw {config.images} images ({name}, {config.model}), {len(config.labels)} sets of masks"
        for (name, _), config in drawn.items()
    ]
    trainings = [training_of(row, table, seeds[0]) for row in table.rows]
    for part in dict.fromkeys(
        part for training in trainings for part in (training.base, training) if part
    ):  # rows may share a training
        length = f"{part.epochs:g} epochs" if part.epochs is not None else f"{part.steps} steps"
        begun = f"after {' + '.join(part.base.data)}" if part.base else part.config.weights
        lines.append(f"train {part.config.backbone} ({begun}) on {' + '.join(part.data)}, {length}: {len(seeds)} times")
    return lines


def has_figures(row: Row, table: Table, places: Places, seeds: Sequence[int], kept: Kept) -> bool:
    """Whether a row's figures are there for every seed and test, with the current weights, data and settings."""
    segmenters = [training_digest(training_of(row, table, seed), row, table, places) for seed in seeds]
    tests = [test_digest(table.tests[name], places) for name in row.tests]
    return all(kept.scores(segmenter, test) is not None for segmenter in segmenters for test in tests)


def check_source(name: str, table: Table, places: Places) -> None:
    """Raise UserError for data that cannot be drawn or trained on. Reads the label maps of a folder, not its
    pictures.
    """
    from seediff.train.stages import Stage, TrainingData, data_fingerprint

    source = table.data[name]
    if source.folder is not None:
        samples = open_source(structs.replace(source, augment=None), table.sets, places)
        stage = Stage(samples.samples, samples.classes, epochs=1, name=name)
        data_fingerprint(TrainingData(samples.classes, (stage,)), 1, None)
    if source.scenes in RENDERED and places.art is None:
        raise UserError(f"data '{name}' is rendered: name the folder of `python -m recipes.mini art` with --art")
    if source.set:
        resolve_name(table.sets[source.set].model)
    check_named(source, classes_of(source, table.sets, places))


def training_of(row: Row, table: Table, seed: int) -> Training:
    """The training for a row. If the row is fine-tuned, this is the fine-tuning, and its `base` is the training
    before.
    """
    where = f"table {table.name}, row '{row.name}'"
    given = _merged(table.train, row.settings)
    first = _training({**given, "seed": seed}, row.train, where)
    if not row.then:
        return first
    return replace(_training({**_merged(given, row.then_settings), "seed": seed}, row.then, where), base=first)


def _training(values: Mapping[str, Any], data: tuple[str, ...], where: str) -> Training:
    values = dict(values)
    steps, epochs = values.pop("steps", None), values.pop("epochs", None)
    if steps is not None and epochs is not None:
        raise UserError(f"{where}: has both steps and epochs; name one of them")
    length = fit(steps, Steps, f"{where}: steps") if steps is not None else None
    epochs = fit(EPOCHS if epochs is None else epochs, Epochs, f"{where}: epochs") if length is None else None
    return Training(make_config(check_table(TrainConfig, values, where)), data, epochs, length)


def _merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Merged settings: later tables override earlier ones, and `steps` or `epochs` in a later table replaces both in
    earlier ones.
    """
    merged: dict[str, Any] = {}
    for table in tables:
        if {"steps", "epochs"} & set(table):
            merged = {key: value for key, value in merged.items() if key not in ("steps", "epochs")}
        merged |= table
    return merged


def train_one(training: Training, row: Row, table: Table, places: Places, label: str) -> Path:
    """The folder of a row's segmenter, which is trained first if it does not exist."""
    from seediff.train.run import train
    from seediff.train.stages import Stage

    folder = places.folder("segmenters", training_digest(training, row, table, places))
    if (folder / CARD).is_file():
        return folder
    classes = tuple(row_classes(row, table, places))
    samples = samples_of(training, classes, table, places, label)
    config = training.config
    if training.base is not None:
        before = train_one(training.base, row, table, places, f"{label}, first part")
        config = replace(config, weights=str(before))
    print(f"{label}: training", flush=True)
    train(config, [Stage(samples, classes, epochs=training.epochs, steps=training.steps)], folder)
    return folder


def samples_of(training: Training, classes: Sequence[str], table: Table, places: Places, label: str) -> list[Sample]:
    """The samples of one part of a row's training, with ids in the order of `classes`."""
    from seediff.train.stages import as_classes

    print(f"{label}: data {', '.join(training.data)}", flush=True)
    opened = [open_source(table.data[name], table.sets, places) for name in training.data]
    return list(chain.from_iterable(as_classes(data, classes) for data in opened))


def row_classes(row: Row, table: Table, places: Places) -> list[str]:
    """The classes of all parts of a row's training, in the order in which they first appear."""
    found = [classes_of(table.data[name], table.sets, places) for name in (*row.train, *row.then)]
    return list(dict.fromkeys(name for classes in found for name in classes))


def training_digest(training: Training, row: Row, table: Table, places: Places) -> str:
    """The key of a segmenter: a digest of its data, the row's classes, its training and the training before it."""
    config = training.config.values()
    parts = {
        "data": [described(table.data[name], table.sets, places) for name in training.data],
        "classes": row_classes(row, table, places),
        "config": {key: _json(value) for key, value in config.items() if key not in ("device", "dtype")},
        "dtype": with_device(training.config).dtype,
        "weights": _first_weights(training.config),
        **({"epochs": training.epochs} if training.steps is None else {"steps": training.steps}),
        "base": training_digest(training.base, row, table, places) if training.base else None,
    }
    return digest(parts)


def _first_weights(config: TrainConfig) -> str | None:
    """The fingerprint of the initial weights; None for random weights, and for those of the hub, whose id is in the
    configuration.
    """
    from seediff.train.models import weights_source

    if config.weights == "scratch":
        return None
    source = Path(weights_source(config))
    return once(content_fingerprint, source) if source.is_dir() else None


def score_one(folder: Path, test: HeldOut, places: Places, kept: Kept, label: str) -> dict[str, Any]:
    """Measure a segmenter on a test; store and return its scores."""
    print(label, flush=True)
    data = open_test(test, places)
    evaluation = evaluate(folder, data, protocol=test.protocol, boundary=False, device=places.device)
    return kept.add_scores(folder.name, test_digest(test, places), evaluation.to_json())


def test_digest(test: HeldOut, places: Places) -> str:
    """The key of a test; scores are stored under the keys of segmenter and test."""
    return digest(described(test, {}, places))


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def open_kept(work: Path, reuse: Sequence[Path] = ()) -> Kept:
    """The figures in a work folder and in every table below the folders `reuse`. If several have the same figure, the
    first counts.

    Raises UserError for a folder that does not exist.
    """
    scores: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in reuse:
        if not folder.is_dir():
            raise UserError("reuse", f"{folder}: there is no such folder")
        for path in sorted(folder.rglob(RESULTS)):
            result = read_json(path, dict[str, Any])
            for row in result["rows"] if "table" in result else ():  # others are of another kind of study
                for position, segmenter in enumerate(row["segmenters"]):
                    for name, of_seeds in row["tests"].items():
                        scores.setdefault((segmenter, result["test_keys"][name]), shown_scores(of_seeds[position]))
    return Kept(work, scores)


def read_scores(path: Path) -> dict[str, Any]:
    """What tables show of a file that `seediff evaluate --json` wrote."""
    return shown_scores(read_json(path, dict[str, Any]))


def shown_scores(found: Mapping[str, Any]) -> dict[str, Any]:
    def kept(rows: Mapping[str, Any], key: str) -> dict[str, Any]:
        return {name: {one: row[one] for one in (key, f"{key}_ci95")} for name, row in rows.items()}

    groups, classes = kept(found["groups"], "miou"), kept(found["per_class"], "iou")
    return {**{key: found[key] for key in SHOWN}, "groups": groups, "per_class": classes}
