"""`seediff evaluate`: compares predictions with a labelled data set. `evaluate` opens both, and computes an
`Evaluation` with the scores of their pairs of label maps (`evaluate_pairs`). `score_tables` shows it as tables, page.py
as sentences and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import BACKGROUND
from ..config.sets import Comparison
from ..dataset.dataset import Dataset
from ..errors import UserError
from ..metrics.confusion import confusion, count_boundaries, count_classes
from ..metrics.scores import Counted, class_iou, mean_iou
from ..version import __version__
from ..workers import Progress
from .predictors import Predictor, open_predictor
from .protocols import Protocol, protocol_for, read_class_map
from .score_list import Row, Scores, as_json, cells, check_bootstrap, compare, score_all, score_table
from .tables import BEHIND, Points, ScoreTable


@dataclass(frozen=True)
class SemanticScores(Scores):
    """The scores of a set of label maps."""

    images: Mapping[str, float]
    """Name of an image → its own mean IoU; NaN if it shows no counted class."""
    confusion: np.ndarray
    """(C, C + 1): the sum of the images' `confusion` tables."""
    draws: int
    """The number of draws of the bootstrap."""

    def to_json(self) -> dict[str, Any]:
        """The scores as JSON values, with null for NaN. `images` and `pixels` are the numbers of counted images and
        pixels."""
        about = {**self.about(), "bootstrap": self.draws, "counted": self.protocol.counted}
        return as_json({**about, "groups": {}, **self.keyed(pixels=self.pixels)})


@dataclass(frozen=True)
class Evaluation:
    """The scores of predictions, and what was compared."""

    scores: SemanticScores
    data: Dataset
    predictor: Predictor
    truth_table: np.ndarray
    """(256,) uint8: the protocol's id for each id of the data."""
    predicted_table: np.ndarray
    """(≥ 256,) uint8: the protocol's id for each id of the predictor."""
    trained_on: int
    """The number of compared images on which the predictor was trained, as far as is known."""
    corrections: int
    """The number of compared images whose prediction is the very mask that people made in the truth."""
    against: Sequence[Evaluation] = ()
    """The evaluations of other predictions for the same data, with which these are compared."""

    @property
    def absent(self) -> list[str]:
        """The protocol's classes that the data lacks."""
        in_data = set(self.truth_table[list(self.data.names)])
        return [name for i, name in enumerate(self.scores.protocol.classes) if i not in in_data]

    @property
    def never(self) -> list[str]:
        """The protocol's classes that the data has but the predictor lacks."""
        predicted = set(self.predicted_table[list(self.predictor.classes)])
        classes = enumerate(self.scores.protocol.classes)
        return [name for i, name in classes if i not in predicted and name not in self.absent]

    def as_background(self, classes: Mapping[int, str], table: np.ndarray) -> list[str]:
        """The classes of the data or the predictor, other than its background, that count as background, because the
        protocol does not have them. classes: id → class. table: `truth_table` or `predicted_table`."""
        own = [i for i, name in enumerate(self.scores.protocol.classes) if name == BACKGROUND]
        return [name for i, name in classes.items() if i and table[i] in own]

    def to_json(self) -> dict[str, Any]:
        """`SemanticScores.to_json`, and what was compared. With other predictions, also their scores under `against`,
        and the differences of all scores under `difference`; with several, both are lists with one entry for each."""
        about: dict[str, Any] = {
            "predictions": self.predictor.about,
            "data": self.data.about,
            "not_in_the_data": self.absent,
            "never_predicted": self.never,
            "trained_on": self.trained_on,
            "corrections": self.corrections,
            "version": __version__,
        }
        compared = {
            "against": [other.to_json() for other in self.against],
            "difference": [self._differences(other) for other in self.against],
        }
        if len(self.against) == 1:
            about |= {name: only for name, (only,) in compared.items()}
        elif self.against:
            about |= compared
        return as_json({**self.scores.to_json(), **about})

    def _differences(self, other: Evaluation) -> list[dict[str, Any]]:
        return [
            {
                "name": score.difference.name,
                "of": score.kind,
                "score": score.quantity,
                "difference": score.difference.value,
                "ci95": score.difference.ci95,
                "images": score.difference.pictures,
            }
            for score in compare(self.scores.entries, other.scores.entries)
        ]


def evaluate(
    predictions: Path | str,
    data: Dataset | Path | str,
    *,
    progress: Progress = lambda done, total, name: None,
    **options: Any,
) -> Evaluation:
    """Score predictions on labelled data.

    predictions: a folder of `seediff train`, or a set, also of label maps alone. data: a dataset, or a set that
    `Dataset.open` opens with `split`. options: fields of `Comparison` (config/sets.py); `against` may be a single path.
    Raises UserError; for wrong names, before the first image is read.
    """
    how = Comparison(**options)
    check_bootstrap(how.seed, how.draws)
    mapped = read_class_map(how.class_map)
    truths = data if isinstance(data, Dataset) else Dataset.open(data, split=how.split, labels_alone=True)
    labelled = truths.labelled(how.with_rejected).watched()
    chosen = protocol_for(how.protocol, labelled.names.values())
    truth_table = chosen.truth_table(labelled.names, labelled.about)
    predictors: list[tuple[Predictor, np.ndarray]] = []
    others = [how.against] if isinstance(how.against, Path | str) else how.against
    for path in (predictions, *others):
        predictor = open_predictor(Path(path), labelled, how)
        predictors.append((predictor, chosen.predicted_table(predictor.classes, mapped, str(path))))

    done = count()
    total = len(predictors) * len(labelled)

    def report(name: str) -> None:
        progress(next(done), total, name)

    report("")
    evaluations: list[Evaluation] = []
    for predictor, predicted_table in predictors:
        copies: list[str] = []
        pairs = _pairs(labelled, truth_table, predictor, predicted_table, report, copies.append)
        scores = evaluate_pairs(pairs, chosen, seed=how.seed, draws=how.draws, boundary=how.boundary)
        trained_on = sum(predictor.saw(sample) for sample in labelled)
        counts = trained_on, len(copies)
        evaluations.append(Evaluation(scores, labelled, predictor, truth_table, predicted_table, *counts))
    return replace(evaluations[0], against=tuple(evaluations[1:]))


def _pairs(
    data: Dataset,
    truth_table: np.ndarray,
    predictor: Predictor,
    predicted_table: np.ndarray,
    report: Callable[[str], None],
    copied: Callable[[str], None],
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, predicted, truth) of each sample, for `evaluate_pairs`, in the protocol's ids. truth_table,
    predicted_table: as in `Evaluation`. report: called with the sample's name when its pair has been used. copied:
    called with it if the prediction is the mask that people made in the truth."""
    for sample, raw in zip(data.samples, predictor.predict(data.samples), strict=True):
        predicted, truth = predicted_table[raw], truth_table[sample.raw_labels()]
        if sample.row.review_or_empty.replaced and sample.row.shown and np.array_equal(predicted, truth):
            copied(sample.name)
        yield sample.name, predicted, truth
        report(sample.name)


def evaluate_pairs(
    pairs: Iterable[tuple[str, np.ndarray, np.ndarray]],
    protocol: Protocol,
    *,
    seed: int = 0,
    draws: int = 1000,
    boundary: bool = True,
) -> SemanticScores:
    """The scores of a set of label maps.

    pairs: (name, predicted, truth) of each image: two maps (H, W) uint8 with the protocol's ids. 255 in the truth is
    ignored; 255 in the prediction means no class, which is wrong. seed, draws: of the bootstrap, for the intervals.
    boundary: also measure boundary IoU, which takes most of the time. Raises UserError for maps that cannot be
    compared, and if there is no pair or no pixel to score.
    """
    # 1. Count the pixels of each pair
    size = len(protocol.classes)
    total = np.zeros((size, size + 1), np.int64)
    counts: list[np.ndarray] = []
    bands: list[np.ndarray] = []
    images: dict[str, float] = {}
    counted = [protocol.classes.index(name) for name in protocol.counted]
    for name, predicted, truth in pairs:
        try:
            table = confusion(predicted, truth, size)
        except ValueError as error:
            raise UserError(name, str(error)) from error
        total += table
        counts.append(count_classes(table))
        images[name] = float(mean_iou(class_iou(counts[-1])[counted]))
        if boundary:
            bands.append(count_boundaries(predicted, truth, size))
    if not counts:
        raise UserError("there are no images to evaluate")
    if not total.any():
        raise UserError(f"no pixel of the {len(counts)} truths counts in protocol {protocol.name}: all are ignored")

    # 2. The scores of the set
    counted_pixels: dict[Counted, np.ndarray] = {"all": np.array(counts)}
    if boundary:
        counted_pixels["outlines"] = np.array(bands)
    scores = score_all(protocol, counted_pixels, accuracy_name="pixel accuracy", seed=seed, draws=draws)
    return SemanticScores(protocol, scores, counted_pixels["all"], seed, images, total, draws)


def score_tables(evaluation: Evaluation) -> list[ScoreTable]:
    """The tables of scores, one for each measure: a row for each class in the truth or the predictions, then the groups
    and the mean, and in the first the accuracy. With other predictions, these tables for each of them, whose columns
    are the scores of both, and their paired difference."""
    if not evaluation.against:
        return evaluation.scores.score_tables("share of pixels")
    return list(chain.from_iterable(_compared(evaluation, other) for other in evaluation.against))


def _compared(evaluation: Evaluation, other: Evaluation) -> list[ScoreTable]:
    scores = evaluation.scores
    names = evaluation.predictor.name, other.predictor.name
    tables: list[ScoreTable] = []
    for measure in scores.measures:
        rows: list[Row] = []
        for score in compare(scores.of(measure), other.scores.of(measure)):
            values = score.one.value, score.other.value
            low, high = score.difference.ci95
            change = Points(score.difference.value), (Points(low), Points(high))
            *_, pictures = cells(score.one._replace(pictures=score.difference.pictures))
            name = scores.name_of(score.kind, score.one)
            rows.append((score.kind, values, (name, *values, *change, pictures)))
        columns = (*(f"{name}, {measure.name}" for name in names), "difference", *BEHIND)
        tables.append(score_table(scores.title, columns, rows))
    return tables
