"""`seediff evaluate`: compares predictions with a labelled data set. `evaluate` computes an `Evaluation`; the other
functions show it: `score_tables` as tables, `notes.notes` as sentences, and `page.write_report` as files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import BACKGROUND
from ..dataset.dataset import Dataset
from ..version import __version__
from ..workers import Progress
from .predictors import Predictor, open_predictor
from .protocols import protocol_for, read_class_map
from .score_list import as_json, cells, check_bootstrap, compare
from .semantic import SemanticScores, evaluate_pairs
from .tables import BEHIND, Points, ScoreTable, Value


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
            for score in compare(self.scores.scores, other.scores.scores)
        ]


def evaluate(
    predictions: Path | str,
    data: Dataset | Path | str,
    *,
    against: Path | str | Sequence[Path | str] | None = None,
    protocol: str = "own",
    split: str | None = None,
    class_map: Path | None = None,
    classes: Sequence[str] | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    boundary: bool = True,
    device: str | None = None,
    seed: int = 0,
    draws: int = 1000,
    with_rejected: bool = False,
    corrected: bool = False,
    progress: Progress = lambda done, total, name: None,
) -> Evaluation:
    """Score predictions on labelled data.

    predictions: a folder of `seediff train`, or a set, also of label maps alone. data: a dataset, or a set that
    `Dataset.open` opens with `split`. against: other predictions, one or several, to compare with the first. protocol:
    see `protocol_for`. class_map: see `read_class_map`. classes: names for the label maps' ids, from id 1; None: those
    in classes.txt in or beside their folder, or else the data's own ids. scales, flip: a segmenter also sees each image
    at these relative sizes, and mirrored. device: of a segmenter. boundary, seed, draws: see `evaluate_pairs`.
    with_rejected: use samples that people rejected, too. corrected: predictions of a reviewed native set are its masks
    as people corrected them, not as they were made. Raises UserError; for wrong names, before the first image is read.
    """
    check_bootstrap(seed, draws)
    mapped = read_class_map(class_map)
    truths = data if isinstance(data, Dataset) else Dataset.open(data, split=split, labels_alone=True)
    labelled = truths.labelled(with_rejected).watched()
    chosen = protocol_for(protocol, labelled.names.values())
    truth_table = chosen.truth_table(labelled.names, labelled.about)
    predictors: list[tuple[Predictor, np.ndarray]] = []
    others = [against] if isinstance(against, Path | str) else against or ()
    for path in (predictions, *others):
        predictor = open_predictor(Path(path), labelled, classes, tuple(scales), flip, device, corrected)
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
        scores = evaluate_pairs(pairs, chosen, seed=seed, draws=draws, boundary=boundary)
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
        predicted, truth = predicted_table[raw], truth_table[sample.unchecked_labels()]
        if sample.row.decided.replaced and sample.row.shown and np.array_equal(predicted, truth):
            copied(sample.name)
        yield sample.name, predicted, truth
        report(sample.name)


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
        rows: list[Sequence[Value]] = []
        sums: list[Sequence[Value]] = []
        for score in compare(scores.of(measure), other.scores.of(measure)):
            one, two = score.one.value, score.other.value
            low, high = score.difference.ci95
            change = Points(score.difference.value), (Points(low), Points(high))
            *_, pictures = cells(score.one._replace(pictures=score.difference.pictures))
            row: Sequence[Value] = (scores.name_of(score.kind, score.one), one, two, *change, pictures)
            if score.kind != "class":
                sums.append(row)
            elif not (math.isnan(one) and math.isnan(two)):
                rows.append(row)
        columns = (*(f"{name}, {measure.name}" for name in names), "difference", *BEHIND)
        tables.append(ScoreTable(scores.title, columns, rows, sums))
    return tables
