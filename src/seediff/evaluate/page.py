"""The files of an evaluation. `evaluation.html` is one page with the scores and, of the worst images, a map of the
errors. A browser needs nothing else, because pictures are embedded."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
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
from ..files.outputs import stage_output, write_atomic, write_json
from ..report.render import render
from .evaluation import Evaluation, score_tables
from .notes import notes, warnings
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
    return sample.source is not None and sample.size() == sample.unchecked_labels().shape


def _tile(evaluation: Evaluation, sample: Sample) -> ImageTile:
    classes = evaluation.scores.protocol.classes
    (raw,) = evaluation.predictor.predict([sample])
    truth, predicted = evaluation.truth_table[sample.unchecked_labels()], evaluation.predicted_table[raw]
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
