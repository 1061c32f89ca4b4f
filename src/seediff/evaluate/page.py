"""What people read of an evaluation: sentences (`notes`, `warnings`), and files. `evaluation.html` is one page with the
scores, the sentences and, of the worst images, a map of the errors. A browser needs nothing else, because pictures are
embedded."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from ..config.class_names import BACKGROUND
from ..dataset.native import METADATA
from ..dataset.sample import Sample
from ..drawing.charts import can_draw, confusion_chart
from ..drawing.overlays import draw_named, fit_side
from ..drawing.shown import jpeg_uri
from ..files.label_maps import IGNORE
from ..files.messages import first_of, plural, sentence
from ..files.outputs import stage_output, write_atomic, write_json
from ..files.reading import real
from ..metrics.confusion import count_classes
from ..metrics.scores import Estimate, class_iou
from ..report.card import render
from .evaluation import Evaluation, score_tables
from .score_list import Scores, without_interval
from .tables import ScoreTable, csv_text, show_cell

SCORES = "scores.json"
IMAGE_SCORES = "images.csv"
PAGE = "evaluation.html"
MATRIX = "confusion.png"
MOST = 24
"""The maximum number of images on the page."""
SIDE = 240
"""The longer side of a picture in pixels."""
MISSED, WRONG = 1, 2
"""Labels of errors."""


@dataclass(frozen=True)
class ImageTile:
    """What the page shows of an image."""

    name: str
    score: str
    wrong: str
    """The share of wrong pixels."""
    images: Sequence[tuple[str, str]]
    """Titles and data URIs of its pictures."""


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write a report into the folder `out`: scores.json; images.csv, each image's mean IoU, the worst first;
    evaluation.html; and confusion.png, which classes are taken for others, if matplotlib is installed."""
    # Images without a mean IoU are left out.
    scored = {name: iou for name, iou in evaluation.scores.images.items() if not np.isnan(iou)}
    ranked = sorted(scored, key=lambda name: (scored[name], name))
    table = csv_text([("name", "miou"), *((name, f"{scored[name]:.6f}") for name in ranked)])
    page = evaluation_page(evaluation, ranked)
    with stage_output(out) as out:
        write_atomic(out / IMAGE_SCORES, table.encode("utf-8"))
        write_atomic(out / PAGE, page)
        if can_draw(MATRIX):
            scores = evaluation.scores
            write_atomic(out / MATRIX, confusion_chart(scores.confusion, scores.protocol.classes))
        write_json(evaluation.to_json(), out / SCORES)


def evaluation_page(evaluation: Evaluation, ranked: Sequence[str]) -> bytes:
    """The page of an evaluation. ranked: the names of all images with a mean IoU, the worst first. Predictions of the
    shown images are made again."""
    scored: list[tuple[ScoreTable, list[list[str]]]] = []
    for table in score_tables(evaluation):
        scored.append((table, [[show_cell(value, "%") for value in row] for row in (*table.rows, *table.sums)]))
    by_name: dict[str, Sample] = {sample.name: sample for sample in evaluation.data}
    shown = islice((name for name in ranked if _has_picture(by_name[name])), MOST)  # each look decodes a picture
    data = evaluation.data.path
    miou = evaluation.scores.miou
    look = ""
    if data is not None and Path(data, METADATA).is_file():
        look = f"seediff look {shlex.quote(str(data))}"
    return render(
        "evaluation.html.j2",
        title=f"Evaluation of {Path(evaluation.predictor.name).name}",
        score=f"{miou.name} {show_cell(miou.value, '%') or 'unknown'}",
        compared=f"{evaluation.predictor.name} against {evaluation.data.about}; {scored[0][0].title}.",
        tables=scored,
        notes=notes(evaluation),
        warnings=warnings(evaluation),
        unchecked=sum(sample.row.unchecked for sample in evaluation.data),
        count=len(ranked),
        tiles=[_tile(evaluation, by_name[name]) for name in shown],
        look=look,
    ).encode("utf-8")


def _has_picture(sample: Sample) -> bool:
    return sample.source is not None and sample.size() == sample.raw_labels().shape


def _tile(evaluation: Evaluation, sample: Sample) -> ImageTile:
    classes = evaluation.scores.protocol.classes
    (raw,) = evaluation.predictor.predict([sample])
    truth, predicted = evaluation.truth_table[sample.raw_labels()], evaluation.predicted_table[raw]
    errors = error_map(truth, predicted, [i for i, name in enumerate(classes) if name == BACKGROUND])
    image = fit_side(sample.image, SIDE, Image.Resampling.BILINEAR)
    names = {number: name for number, name in enumerate(classes) if name != BACKGROUND}

    def small(label_map: np.ndarray) -> np.ndarray:
        return fit_side(label_map, SIDE, Image.Resampling.NEAREST)

    pictures = {
        "image": image,
        "truth": draw_named(image, small(truth), names),
        "prediction": draw_named(image, small(predicted), names),
        "errors": draw_errors(image, small(errors)),
    }
    counted = max(1, int((truth != IGNORE).sum()))
    return ImageTile(
        sample.name,
        f"{evaluation.scores.images[sample.name]:.1%}",
        f"{(errors > 0).sum() / counted:.1%}",
        [(title, jpeg_uri(picture)) for title, picture in pictures.items()],
    )


def draw_errors(image: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the darkened image, with black and white stripes where a class was missed and squares where it
    is wrong, because every colour is some class's. errors: (H, W), of `error_map`."""
    rows, columns = np.indices(errors.shape)
    stripes, squares = (rows + columns) // 3, rows // 3 + columns // 3
    hatching = np.where(errors == MISSED, stripes, squares) % 2 * 255
    return np.where(errors[..., None] > 0, hatching[..., None], image * 0.4).astype(np.uint8)


def error_map(truth: np.ndarray, predicted: np.ndarray, background: Sequence[int]) -> np.ndarray:
    """(H, W) uint8: MISSED where background is predicted instead of a class, WRONG where another class is predicted, or
    none, else 0, as where the truth is ignored. truth, predicted: label maps (H, W). background: the ids of the
    background."""
    wrong = (truth != predicted) & (truth != IGNORE)
    missed = np.isin(predicted, background)
    return np.select([wrong & missed, wrong], [MISSED, WRONG], 0).astype(np.uint8)


# Sentences.


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


def _percent(estimate: Estimate) -> str:
    return show_cell(estimate.value, "%") or "nothing"


def one_lower(confusion: np.ndarray, objects: Sequence[int]) -> bool:
    """Whether the predictions' ids seem to be one too low, for example 0 for the class 1. Each of at least two classes
    in the truth must have a higher IoU if every id is raised by one, and their mean must then be above ½. confusion:
    the sum of `confusion` tables (C, C + 1). objects: the ids of the classes other than the background."""
    in_truth = [number for number in objects if confusion[number].any()]
    iou, raised = (class_iou(count_classes(table))[in_truth] for table in (confusion, np.roll(confusion, 1, axis=1)))
    return len(in_truth) > 1 and bool((raised > iou).all()) and raised.mean() > 0.5
