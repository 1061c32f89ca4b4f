"""The commands that cases run, each with valid inputs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from .seeds import AUGMENT, GENERATE, MASK, SEGMENT, TRAIN

TABLE = """
check native | check {*native}
check generated | check {*generated}
check masked | check {*masked} --json {work}/out
check --fix native | check {+native} --fix
check --fix generated | check {+generated} --fix
check --fix augmented | check {+augmented} --fix
check --fix segments | check {+segments} --fix
stats | stats {*native} --json {work}/out
split --in-place | split {+native} --val 0.5 --in-place
preview | preview {+generated}
augment | augment {*native} AUGMENT OUT
augment splice | augment {*native} --add splice-2x2:2,boxes:2,objects:1 OUT
augment --config | augment {native} --config {*files}/augment.toml OUT
augment again | augment {native} AUGMENT --out {+augmented}
filter | filter {*native} OUT --max-area 0.9
filter soft | filter {*generated} OUT --best 1 --ignore-band 0.5,0.6
filter --drop-flags | filter {*native} OUT --drop-flags all
merge | merge {*native} {*generated} OUT
import voc | import {*voc} --from voc OUT
import devkit | import {*devkit}/VOC2012 --from voc OUT
import coco | import {*coco} --from coco OUT
import instances | import {*polygons} --annotations {*polygons}/annotations/instances_train.json --from coco OUT
import panoptic | import {*panoptic} --annotations {*panoptic}/annotations/panoptic_train.json --from coco OUT
import yolo | import {*yolo} --from yolo OUT
import parquet | import {*parquet} --from parquet OUT
import webdataset | import {*webdataset} --from webdataset OUT
import ultralytics | import {*ultralytics} --from ultralytics OUT
import cvat | import {*cvat} --from cvat OUT
import labelstudio | import {*labelstudio} --from labelstudio OUT
import imagefolder | import {*imagefolder} --from imagefolder OUT
import labelme | import {*annotated}/labelme --from labelme OUT
import masks | import {*annotated}/masks --from masks OUT
import camvid | import {*camvid} --from published OUT
import --corrects | import {*cvat} --from cvat --corrects {*native} OUT
import --classes | import {voc} --from voc --classes {*files}/classes.txt OUT
export --to voc | export {*native} --to voc --objects --boxes OUT
export --to coco | export {*native} --to coco --panoptic OUT
export --to yolo | export {*native} --to yolo OUT
export --to ultralytics | export {*native} --to ultralytics OUT
export --to cvat | export {*native} --to cvat --objects OUT
export --to labelstudio | export {*native} --to labelstudio OUT
export --to imagefolder | export {*native} --to imagefolder OUT
export --to parquet | export {*native} --to parquet OUT
export --to webdataset | export {*native} --to webdataset OUT
split generated | split {*generated} --val 0.5 OUT
evaluate plain | evaluate {*plain} --data {*native} --json {work}/scores.json
evaluate --out | evaluate {*plain} --data {*native} OUT
evaluate --class-map toml | evaluate {plain} --data {native} --class-map {*files}/map.toml
evaluate --class-map csv | evaluate {plain} --data {native} --class-map {*files}/map.csv
evaluate cityscapes | evaluate {*cityscapes}/predicted --data {*cityscapes} --protocol cityscapes-human-vehicle
evaluate ade20k | evaluate {*ade20k}/predicted --data {*ade20k} --protocol ade20k
evaluate camvid | evaluate {*camvid}/testannot --data {*camvid} --protocol camvid
evaluate on parquet | evaluate {plain} --data {*parquet}
evaluate on webdataset | evaluate {plain} --data {*webdataset}
evaluate on voc | evaluate {*voc}/SegmentationClass --data {*voc}
evaluate segments | evaluate segments {*segments} --labels {*segments}/labels --num-classes 9
evaluate segments voc | evaluate segments {*devkit}/VOC2012/SegmentationClass --labels {*devkit}/VOC2012
evaluate model | evaluate {*segmenter} --data {native} --device cpu
generate --dry-run | generate --config {*files}/generate.toml OUT --dry-run
generate --classes | generate --classes {*files}/classes.txt --prompt {*files}/prompts.txt OUT --dry-run
mask --dry-run | mask {*photos} --config {*files}/mask.toml --preset {*files}/preset.toml --model {model} OUT --dry-run
segment --dry-run | segment {*photos} --config {*files}/segment.toml --captions {*captions}/captions.csv --model {model} OUT --dry-run
segment --captions | segment {*photos} --captions {*captions} --model {model} OUT --dry-run
train --dry-run | train {*native} --config {*files}/train.toml --steps 1 OUT --dry-run
generate | generate GENERATE --model {*model} OUT
generate again | generate GENERATE --model {model} --out {+unfinished}
mask | mask {*photos} MASK --model {model} OUT
segment | segment {*photos} SEGMENT --model {model} OUT
segment again | segment {photos} SEGMENT --model {model} --out {+segments}
predict | predict {*segmenter} {*photos} OUT --device cpu
train | train {*native} TRAIN OUT
train again | train {native} TRAIN --out {+training}
tune | tune {*native} --model {model} --count 2 --size 64 --out {work}/preset.toml
"""
"""Key and line of each command. {*NAME} is damaged; {+NAME} is damaged too, and the command is meant to change it; {NAME} stays whole."""
GIVEN = {"OUT": ("--out", "{work}/out"), "AUGMENT": AUGMENT, "GENERATE": GENERATE, "MASK": MASK, "SEGMENT": SEGMENT, "TRAIN": TRAIN}
REFUSED = ("check --fix segments",)
"""Commands that end with exit code 2 on valid inputs, because the input is not a dataset."""
NETWORKS = ("generate", "mask", "segment", "predict", "train", "tune")


@dataclass(frozen=True)
class Command:
    """key: its name in tables and cases. words: the line, where {NAME} is an input and {work} the folder of outputs.

    inputs: copied into the case and damaged. others: copied and left whole. changes: inputs that the command may change.
    """

    key: str
    words: tuple[str, ...]
    inputs: tuple[str, ...]
    others: tuple[str, ...]
    changes: tuple[str, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """The words that name the command, such as `evaluate segments`."""
        return self.words[: 2 if self.words[:2] == ("evaluate", "segments") else 1]

    @property
    def code(self) -> int:
        """The exit code when nothing is damaged."""
        return 2 if self.key in REFUSED else 0

    @property
    def appears(self) -> bool:
        """Whether the command makes `{work}/out` completely or not at all."""
        return self.words[0] in ("filter", "merge", "import", "export", "split") and "--out" in self.words

    @property
    def seconds(self) -> float:
        """CPU seconds after which the command counts as hanging."""
        return 60.0 if self.words[0] in NETWORKS or "{segmenter}" in self.words else 10.0


def read_row(row: str) -> Command:
    """The command in a row of TABLE."""
    key, line = (part.strip() for part in row.split("|"))
    words = [str(word) for part in shlex.split(line) for word in GIVEN.get(part, (part,))]
    marks = {match[2]: match[1] for match in re.finditer(r"\{([*+]?)(\w+)\}", line) if match[2] != "work"}
    inputs, others, changes = (tuple(name for name, its in marks.items() if its in chosen) for chosen in (("*", "+"), ("",), ("+",)))
    return Command(key, tuple(re.sub(r"\{[*+]", "{", word) for word in words), inputs, others, changes)


COMMANDS = {command.key: command for command in map(read_row, TABLE.strip().splitlines())}
