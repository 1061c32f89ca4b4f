"""What readers should know about scores: `notes` gives sentences about the labels, the predictions, and means that are
compared without some classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..config.class_names import BACKGROUND
from ..files.label_maps import IGNORE
from ..files.messages import first_of, plural, sentence
from ..files.reading import real
from ..metrics.confusion import count_classes
from ..metrics.scores import Figure, class_iou
from .evaluation import Evaluation
from .score_list import Scores, without_interval
from .tables import show_cell


def notes(evaluation: Evaluation) -> list[str]:
    """Sentences about the scores: of the labels, of the predictions, then of each that they are compared with."""
    data = evaluation.data
    lines = [f"Labels: {data.about}.", *map(sentence, data.doubts)]
    background = evaluation.as_background(data.names, evaluation.truth_table)
    lines += _named("Classes of the data that count as background", background)
    about, *further = _of_predictions(evaluation)
    lines += [*without_interval(evaluation.scores), f"Predictions: {about}", *further]
    for other in evaluation.against:
        against = "Against"
        if len(evaluation.against) > 1:
            against = f"Against {other.predictor.name}"
        more = _of_predictions(other)
        if real(other.predictor.name) == real(evaluation.predictor.name):
            more.append("The same predictions are compared with themselves: all differences are 0.")
        more += _of_means(evaluation.scores, other.scores)
        lines += [f"{against}: {line}" for line in more]
    return lines


def warnings(evaluation: Evaluation) -> list[str]:
    """Sentences about scores that are too high, of the predictions, then of each that they are compared with."""
    lines: list[str] = []
    for one in (evaluation, *evaluation.against):
        images = plural(len(one.scores.images), "image")
        name = one.predictor.name
        if one.trained_on:
            lines.append(f"{name} was trained on {one.trained_on} of the {images}, so its scores are too high.")
        if one.corrections:
            same = f"{name} has the very mask that people made in the labels, so its scores are too high"
            fix = "compare the set that has the masks as they were made"
            lines.append(f"For {one.corrections} of the {images}, {same}: {fix}.")
    return lines


def _named(what: str, names: Iterable[str]) -> list[str]:
    """One sentence that names some classes; none if there are none."""
    names = list(names)
    return [f"{what}: {first_of(names, in_all=True)}."] if names else []


def _of_predictions(evaluation: Evaluation) -> list[str]:
    """Sentences about predictions; the first says what they are."""
    predictor = evaluation.predictor
    lines = [f"{predictor.about}."]
    if evaluation.data.path and real(evaluation.data.path) == real(predictor.name):
        lines.append("Predictions and labels come from the same folder.")
    lines += _named("Classes of the protocol that the data does not have", evaluation.absent)
    lines += _named("Classes that are never predicted, because there is no such class", evaluation.never)
    background = evaluation.as_background(predictor.classes, evaluation.predicted_table)
    lines += _named("Classes of the predictions that count as background", background)
    wrong = [name for i, name in predictor.classes.items() if evaluation.predicted_table[i] == IGNORE]
    lines += _named("Predicted classes that the protocol does not have or ignores are wrong", wrong)
    classes = evaluation.scores.protocol.classes
    objects = [number for number, name in enumerate(classes) if name != BACKGROUND]
    return lines + _of_mistakes(evaluation.scores.confusion, objects)


def _of_mistakes(confusion: np.ndarray, objects: Sequence[int]) -> list[str]:
    """Sentences about predictions that are probably a mistake of the user's. confusion, objects: as for
    `one_lower`."""
    lines: list[str] = []
    if not confusion[:, objects].any():
        lines.append("No pixel is predicted to be of a class.")
    if one_lower(confusion, objects):
        lines.append(
            "The ids of the predictions seem to be one too low: every class would score higher if each were one higher."
        )
    return lines


def _of_means(one: Scores, other: Scores) -> list[str]:
    """Sentences about classes that only one of two predictions has, and that the compared means leave out. Measures
    that leave out the same classes have one sentence, about the first."""
    lines: list[str] = []
    said: list[list[str]] = []
    for measure in one.measures:
        mean, same = one.whole[measure.mean], other.whole[measure.mean]
        alone = sorted(mean.classes.keys() ^ same.classes.keys())
        if alone and alone not in said:
            said.append(alone)
            lines.append(
                f"Means and their differences are without {', '.join(alone)}, for which only one of the two has "
                f"{measure.name}. By the protocol, {measure.mean} is {_percent(mean)} and {_percent(same)}."
            )
    return lines


def _percent(figure: Figure) -> str:
    return show_cell(figure.value, "%") or "nothing"


def one_lower(confusion: np.ndarray, objects: Sequence[int]) -> bool:
    """Whether the predictions' ids seem to be one too low, for example 0 for the class 1. Each of at least two classes
    in the truth must have a higher IoU if every id is raised by one, and their mean must then be above ½. confusion:
    the sum of `confusion` tables (C, C + 1). objects: the ids of the classes other than the background."""
    in_truth = [number for number in objects if confusion[number].any()]
    iou, raised = (class_iou(count_classes(table))[in_truth] for table in (confusion, np.roll(confusion, 1, axis=1)))
    return len(in_truth) > 1 and bool((raised > iou).all()) and raised.mean() > 0.5
