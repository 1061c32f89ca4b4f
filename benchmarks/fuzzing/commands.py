"""The commands that cases run, each with valid inputs, and what options it can be given besides."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from .seeds import AUGMENT, GENERATE, MASK, SEGMENT, TRAIN

OWN = """
check native | 1.5 | check {*native}
check generated | 1.5 | check {*generated}
check masked | 1 | check {*masked}
check augmented | 1 | check {*augmented}
check --fix native | 1.5 | check {+native} --fix
check --fix generated | 1.5 | check {+generated} --fix
check --fix masked | 1 | check {+masked} --fix
check --fix augmented | 1 | check {+augmented} --fix
check --json | 0.5 | check {*native} --json {work}/out
stats | 1.5 | stats {*native} --json {work}/out
stats generated | 1 | stats {*generated}
split --in-place | 1.5 | split {+native} --val 0.5 --in-place
split --in-place generated | 1 | split {+generated} --val 0.5 --in-place
preview | 1.5 | preview {+generated}
preview augmented | 0.5 | preview {+augmented}
augment | 1.5 | augment {*native} AUGMENT OUT
augment splice | 1 | augment {*native} --add splice-2x2:2,boxes:2,objects:1 OUT
augment --config | 1 | augment {native} --config {*files}/augment.toml OUT
augment again | 1 | augment {native} AUGMENT --out {+augmented}
"""
"""Datasets of one's own. Key, how often beside others, line; {*NAME} is damaged, {+NAME} damaged and the command may change it."""
NONE = """
check --fix segments | 0.4 | check {+segments} --fix
check --fix voc | 0.4 | check {+voc} --fix
check --fix segmenter | 0.4 | check {+segmenter} --fix
check --fix unfinished | 0.4 | check {+unfinished} --fix
"""
"""What is no finished dataset, and refused as such."""
SETS = """
filter | 2 | filter {*native} OUT --max-area 0.9
filter soft | 1.5 | filter {*generated} OUT --best 1 --ignore-band 0.5,0.6
filter --ignore-band | 1.5 | filter {*native} OUT --best 3 --ignore-band 0.5,0.6 --min-confidence 0.1
filter --drop-flags | 1 | filter {*native} OUT --drop-flags all
merge augmented | 1 | merge {*native} {*augmented} OUT
merge | 2 | merge {*native} {*generated} OUT
import voc | 3 | import {*voc} --from voc OUT
import devkit | 3 | import {*devkit}/VOC2012 --from voc OUT
import coco | 3 | import {*coco} --from coco OUT
import polygons | 3 | import {*polygons} --from coco OUT
import yolo | 3 | import {*yolo} --from yolo OUT
import parquet | 3 | import {*parquet} --from parquet OUT
import webdataset | 3 | import {*webdataset} --from webdataset OUT
import panoptic | 2 | import {*panoptic} --annotations {*panoptic}/annotations/panoptic_train.json --from coco OUT
import ultralytics | 3 | import {*ultralytics} --from ultralytics OUT
import cvat | 3 | import {*cvat} --from cvat OUT
import cvat-masks | 2 | import {*cvat_masks} --from cvat-masks OUT
import labelstudio | 3 | import {*labelstudio} --from labelstudio OUT
import fiftyone | 2 | import {*fiftyone} --from fiftyone OUT
import roboflow | 2 | import {*roboflow} --from roboflow OUT
import imagefolder | 2 | import {*imagefolder} --from imagefolder OUT
import --corrects cvat | 2 | import {*cvat} --from cvat --corrects {*native} OUT
import --corrects labelstudio | 2 | import {*labelstudio} --from labelstudio --corrects {native} OUT
import instances | 2 | import {*polygons} --annotations {*polygons}/annotations/instances_train.json --from coco OUT
import --classes | 1 | import {voc} --from voc --classes {*files}/classes.txt OUT
"""
"""What makes a dataset, which appears when it is whole."""
EXPORTS = """
export --to voc | 1.2 | export {*native} --to voc --objects --boxes OUT
export --to voc --jpeg | 1.2 | export {*native} --to voc --jpeg OUT
export --to coco | 1.2 | export {*native} --to coco OUT
export --to coco --polygons | 1.2 | export {*native} --to coco --polygons OUT
export --to yolo | 1.2 | export {*native} --to yolo OUT
export --to coco --panoptic | 0.7 | export {*native} --to coco --panoptic OUT
export --to ultralytics | 0.7 | export {*native} --to ultralytics OUT
export --to cvat | 0.7 | export {*native} --to cvat --objects OUT
export --to cvat-masks | 0.7 | export {*native} --to cvat-masks OUT
export --to labelstudio | 0.7 | export {*native} --to labelstudio OUT
export --to fiftyone | 0.7 | export {*native} --to fiftyone OUT
export --to roboflow | 0.7 | export {*native} --to roboflow OUT
export --to imagefolder | 0.7 | export {*native} --to imagefolder OUT
export --to parquet | 1.2 | export {*native} --to parquet OUT
export --to webdataset | 1.2 | export {*native} --to webdataset OUT
split | 1.5 | split {*native} --val 0.5 OUT
split generated | 1 | split {*generated} --val 0.5 OUT
"""
MEASURES = """
evaluate plain | 2 | evaluate {*plain} --data {*native} --json {work}/scores.json
evaluate --out | 1 | evaluate {*plain} --data {*native} OUT
evaluate --class-map toml | 1 | evaluate {plain} --data {native} --class-map {*files}/map.toml
evaluate --class-map csv | 1 | evaluate {plain} --data {native} --class-map {*files}/map.csv
evaluate devkit | 1 | evaluate {*devkit}/VOC2012/SegmentationClass --data {*devkit}/VOC2012 --protocol voc
evaluate cityscapes | 1 | evaluate {*cityscapes}/predicted --data {*cityscapes} --protocol cityscapes-human-vehicle
evaluate ade20k | 1 | evaluate {*ade20k}/predicted --data {*ade20k} --protocol ade20k
evaluate camvid | 1 | evaluate {*camvid}/testannot --data {*camvid} --protocol camvid
evaluate on coco | 0.7 | evaluate {plain} --data {*coco}
evaluate on yolo | 0.7 | evaluate {voc}/SegmentationClass --data {*yolo}
evaluate on parquet | 0.7 | evaluate {plain} --data {*parquet}
evaluate on webdataset | 0.7 | evaluate {plain} --data {*webdataset}
evaluate on voc | 0.7 | evaluate {*voc}/SegmentationClass --data {*voc}
evaluate segments | 1.5 | evaluate segments {*segments} --labels {*segments}/labels --num-classes 9
evaluate segments --list | 1 | evaluate segments {*plain}/labels --labels {native}/masks --list {*files}/names.txt
evaluate segments voc | 0.7 | evaluate segments {*devkit}/VOC2012/SegmentationClass --labels {*devkit}/VOC2012
"""
LOOKS = """
generate --dry-run | 2 | generate --config {*files}/generate.toml OUT --dry-run
generate --classes | 1 | generate --classes {*files}/classes.txt --prompt {*files}/prompts.txt OUT --dry-run
"""
"""Configurations that are only looked at."""
LOOKS_TORCH = """
mask --dry-run | 1 | mask {*photos} --config {*files}/mask.toml --model {model} OUT --dry-run
segment --dry-run | 1 | segment {*photos} --config {*files}/segment.toml --model {model} OUT --dry-run
segment --captions file | 1 | segment {*photos} --captions {*captions}/captions.csv --model {model} OUT --dry-run
segment --captions folder | 1 | segment {*photos} --captions {*captions} --model {model} OUT --dry-run
train --dry-run | 1 | train {*native} --config {*files}/train.toml --steps 1 OUT --dry-run
train --dry-run voc | 0.5 | train {*voc} --backbone tiny --val-share 0.5 OUT --dry-run
train --dry-run coco | 0.5 | train {*coco} --backbone tiny --val-share 0.5 OUT --dry-run
train --dry-run yolo | 0.5 | train {*yolo} --backbone tiny --val-share 0.5 OUT --dry-run
train --dry-run parquet | 0.5 | train {*parquet} --backbone tiny --val-share 0.5 OUT --dry-run
train --dry-run webdataset | 0.5 | train {*webdataset} --backbone tiny --val-share 0.5 OUT --dry-run
mask --preset | 0.5 | mask {photos} --classes dog --preset {*files}/preset.toml --model {model} OUT --dry-run
"""
"""The same with what imports torch."""
MODELS = """
generate | 1 | generate GENERATE --model {*model} OUT
generate again | 0.75 | generate GENERATE --model {model} --out {+unfinished}
generate complete | 0.35 | generate GENERATE --model {model} --out {+generated}
mask | 0.75 | mask {*photos} MASK --model {model} OUT
mask again | 0.35 | mask {photos} MASK --model {model} --out {+masked}
segment | 0.75 | segment {*photos} SEGMENT --model {model} OUT
segment --model | 0.5 | segment {photos} SEGMENT --model {*model} OUT
segment again | 0.35 | segment {photos} SEGMENT --model {model} --out {+segments}
predict | 1 | predict {*segmenter} {*photos} OUT --device cpu
evaluate model | 0.75 | evaluate {*segmenter} --data {native} --device cpu
train | 0.5 | train {*native} TRAIN OUT
train again | 1.25 | train {native} TRAIN --out {+training}
train complete | 0.25 | train {native} TRAIN --out {+segmenter}
tune | 0.5 | tune {*native} --model {model} --count 2 --size 64 --out {work}/preset.toml
train --weights | 0.5 | train {native} TRAIN --weights {*segmenter} OUT
"""
"""What loads or trains a network."""


@dataclass(frozen=True)
class Command:
    """key: what tables call it; cases name it by this. words: the line, where {NAME} is an input and {work} the folder of outputs.

    inputs: copied into the case, and damaged. others: copied too, and left whole. weight: how often it comes, beside others. appears:
    `{work}/out` is there whole or not at all. checks: what the output is read back as: a format of `seediff import`, "native", or
    nothing. changes: inputs that the command may change, being what it is for. torch: it imports torch. seconds: of CPU, after which
    it counts as hanging. code: its exit code when nothing is damaged.
    """

    key: str
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    others: tuple[str, ...]
    weight: float
    changes: tuple[str, ...] = ()
    code: int = 0
    appears: bool = False
    checks: str = ""
    torch: bool = False
    seconds: float = 10.0

    @property
    def path(self) -> tuple[str, ...]:
        """The command's own words: `evaluate segments`."""
        names = 2 if self.words[0] in ("study", "mini") or self.words[:2] == ("evaluate", "segments") else 1
        return self.words[:names]


GIVEN = {"OUT": ("--out", "{work}/out"), "AUGMENT": AUGMENT, "GENERATE": GENERATE, "MASK": MASK, "SEGMENT": SEGMENT, "TRAIN": TRAIN}


def read_table(text: str, **common: Any) -> Iterator[Command]:
    """The commands of a table above."""
    for row in text.strip().splitlines():
        key, weight, line = (part.strip() for part in row.split("|"))
        words = [str(word) for part in shlex.split(line) for word in GIVEN.get(part, (part,))]
        if words.count("--weights") > 1:  # the later one is what the row is about
            del words[words.index("--weights") : words.index("--weights") + 2]
        marks = {found[2]: found[1] for found in re.finditer(r"\{([*+]?)(\w+)\}", line)}
        named = {mark: tuple(name for name, its in marks.items() if its and its in mark and name != "work") for mark in ("*+", "+")}
        others = tuple(name for name, its in marks.items() if not its and name != "work")
        own = tuple(re.sub(r"\{[*+]", "{", word) for word in words)
        yield Command(key, own, named["*+"], others, float(weight), named["+"], **common)


def _all() -> Iterator[Command]:
    yield from read_table(OWN)
    yield from read_table(NONE, code=2)
    yield from read_table(SETS, appears=True, checks="native")
    for command in read_table(EXPORTS, appears=True):
        yield replace(command, checks=command.words[3] if command.words[0] == "export" else "")
    yield from read_table(MEASURES)
    yield from read_table(LOOKS)
    yield from read_table(LOOKS_TORCH, torch=True)
    yield from read_table(MODELS, torch=True, seconds=60.0)


COMMANDS = {command.key: command for command in _all()}
LEFT_ALONE = ("--engine", "--address", "--workers", "--tensorboard", "--threads", "--help", "--version", "--device", "--art", "--tflops")
"""Options that start clusters or processes, or say how the machine is used."""


KINDS = {bool: "flag", int: "int", float: "float"}


@dataclass(frozen=True)
class Option:
    """kind: one of KINDS, "choice", "path" or "text"."""

    name: str
    kind: str
    choices: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def options(path: tuple[str, ...]) -> tuple[Option, ...]:
    """What a command can be given, as its own parser says."""
    from seediff.cli.commands import app

    found = app
    for word in path:
        found = found[word]
    listed = []
    for argument in found.assemble_argument_collection():
        names = [name for name in argument.names if name.startswith("--")]
        if not names or names[0] in LEFT_ALONE:
            continue
        hints = {*get_args(argument.hint), argument.hint}
        choices = tuple(str(value) for hint in hints for value in get_args(hint) if isinstance(value, str))
        is_path = any(Path in (hint, *get_args(hint)) for hint in hints)
        kind = next((name for type_, name in KINDS.items() if type_ in hints), "path" if is_path else "text")
        listed.append(Option(names[0], "choice" if choices else kind, choices))
    return tuple(listed)
