"""`seediff tune`: labelled photographs → a file with a model's own thresholds."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..config.class_names import parse_classes
from ..config.fields import INPUT, MODEL, RUN, WORD, DType, read_names
from ..config.photos_config import MaskPhotosConfig, SegmentPhotosConfig
from ..config.presets import Tuned
from ..config.resolve import recommend
from ..errors import Notice, UserError
from ..files.messages import plural
from ..files.output_folders import check_writable
from ..files.outputs import write_atomic
from ..models.describe import describe
from ..models.model_files import find_model
from .options import AT_LEAST_1, HERE, Quiet, option
from .progress import bar_or_lines

if TYPE_CHECKING:
    from ..run.tune import Thresholds


def tune(
    data: Annotated[
        Path, Parameter(help="Labelled photographs: a folder in any layout that `evaluate` and `import` read.")
    ],
    /,
    *,
    out: Annotated[
        Path, HERE, option(RUN, "File to write the thresholds to, for --preset of `mask` and `segment`.")
    ] = Path("preset.toml"),
    model: Annotated[
        str,
        option(
            MODEL, "Needed: a name from `seediff models`, a local folder, a hub id, or a .safetensors or .gguf file."
        ),
    ] = "",
    classes: Annotated[
        tuple[str, ...],
        read_names(parse_classes),
        option(INPUT, "Classes of the set to use: names separated by commas, or a file.", "all"),
    ] = (),
    split: Annotated[str | None, option(INPUT, "Part of the set to use.", "val; all of a set without parts")] = None,
    count: Annotated[int, WORD, AT_LEAST_1, option(INPUT, "Maximum number of photographs, evenly spaced.", 50)] = 50,
    size: Annotated[
        int | None, WORD, option(MODEL, "Side in pixels of the square that the model sees.", "the model's own")
    ] = None,
    device: Annotated[str | None, option(MODEL, "Device: cuda, mps or cpu.", "the fastest available")] = None,
    dtype: Annotated[DType | None, option(MODEL, "Number format.", "16-bit on cuda, else float32")] = None,
    quiet: Quiet = False,
) -> None:
    """Find a model's own thresholds from a few labelled photographs: `presence` and `beta` for `mask`,
    `name_threshold` for `segment --names`.

    For example:

    - `seediff tune VOCdevkit/VOC2012 --model sd1.5 --out sd1.5.toml`

    - `seediff mask photos --model sd1.5 --classes dog,cat --preset sd1.5.toml --out masked`
    """
    from ..dataset.dataset import open_truths
    from ..run.evaluate_masks import load_masker
    from ..run.photos import doubt_line, is_drawing
    from ..run.tune import countable
    from ..run.tune import tune as find_thresholds

    check_writable(out, is_file=True)
    if out.exists():
        raise UserError("out", f"{out} already exists", "choose another file")
    # 1. The model, and the classes that it knows
    labelled = open_truths(data, split)
    segmenting, found = recommend(SegmentPhotosConfig, {"model": model})
    info = found or describe(find_model(model))
    kept = countable(labelled, info.settings.words, classes)
    names = tuple(dict.fromkeys(kept.values()))
    given = {"classes": names, "model": model, "size": size, "device": device, "dtype": dtype}
    config, _ = recommend(MaskPhotosConfig, given, info)
    doubt = ""
    if not all(is_drawing(sample.metadata, config.model_label) for sample in labelled):
        doubt = doubt_line(info, config.model_label)
    if doubt:
        warnings.warn(doubt, Notice, stacklevel=1)

    # 2. The thresholds, and their file
    masker, weights = load_masker(config, info)
    with bar_or_lines(quiet, "photographs") as progress:
        tuning = find_thresholds(masker, labelled, kept, segmenting.segment, count=count, progress=progress)
    note = f"{plural(tuning.photos, 'photograph')}, asked for {plural(len(kept), 'class')} (from {labelled.about})"
    thresholds = tuning.presence, tuning.name_threshold, tuning.beta
    tuned = Tuned(config.model, weights, *thresholds, config.mask.method, note)
    write_atomic(out, tuned.to_toml().encode("utf-8"))
    if not quiet:
        print(*describe_thresholds(tuning, len(kept), out), sep="\n")
        for line in labelled.notes:
            print(f"note: {line}")
        if doubt:
            print(doubt)
    for name, reason in tuning.failed:
        print(f"seediff: {name}: left out: {reason}", file=sys.stderr)


def describe_thresholds(thresholds: Thresholds, classes: int, out: Path) -> list[str]:
    """Lines about the thresholds: their values and quality, and how to use the file."""
    lines = [f"{plural(thresholds.photos, 'photograph')}, {plural(classes, 'class')}"]
    if thresholds.presence is None:
        lines.append(
            "presence: could not be tuned: every class is in every photograph, or none in any, or all are too small"
        )
    else:
        precise = "–" if thresholds.precision is None else f"{thresholds.precision:.0%}"
        lines.append(
            f"presence = {thresholds.presence}: {precise} of the classes found are present, {thresholds.recall:.0%} of"
            " those present are found"
        )
    if thresholds.name_threshold is None:
        lines.append("name_threshold: could not be tuned: no segment has labels")
    else:
        right = f"{thresholds.named_right:.0%} of {plural(thresholds.segments, 'segment')} get the right name"
        lines.append(f"name_threshold = {thresholds.name_threshold}: {right}, or none where it would be wrong")
    if thresholds.beta is None:
        lines.append("beta: could not be tuned: the set has no background")
    else:
        lines.append(f"beta = {thresholds.beta}: the highest mIoU of masks of the classes that each photograph shows")
    return [*lines, f"Written to {out}; use it with --preset {out}"]
