"""Draws images once and labels them with many methods; the studies of trained segmenters train on them.

Methods are compared on the same images, so that only their masks differ. Drawing costs a hundred times as much as a
mask and is done once. The output folder is like that of any run: made in batches, resumable, and with the same bytes
however often it was interrupted.

    set/  images/000000.png   masks/<labelling>/000000.png   classes.txt   drawn.jsonl   seediff.toml

`labelled` reads one of its labellings as the samples of a dataset.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from seediff.config.class_names import DEFAULT_PROMPTS, check_classes, join_classes
from seediff.config.fields import AtLeastZero, Count
from seediff.config.methods import CaptureSteps
from seediff.config.names_in_texts import check_prompts
from seediff.config.settings import Config, RunConfig
from seediff.config.sizes import Size, check_sides, check_size, shape_of
from seediff.dataset import native
from seediff.dataset.encoding import encode_image, encode_mask, read_label_map
from seediff.dataset.sample import Sample
from seediff.dataset.writing import Encoded
from seediff.errors import UserError
from seediff.files.names import CONFIG
from seediff.files.outputs import write_atomic
from seediff.files.reading import file_of
from seediff.models.describe import ModelInfo, check_known_classes
from seediff.models.registry import LoadOptions, Model, check_options
from seediff.prompts.specs import class_groups, sample_seed
from seediff.report.set_summary import SetFacts
from seediff.rows.row import Row, each_row
from seediff.run.job import Made, ModelJob, Ready
from seediff.run.loop import run

if TYPE_CHECKING:
    from recipes.studies.settings import Setting
    from seediff.prompts.specs import SampleSpec
    from seediff.workers import Progress


DRAWN = "drawn.jsonl"
"""The file with a set's rows. They name no mask, so this is no native dataset."""


@dataclass(frozen=True)
class SetConfig(RunConfig):
    """What is drawn, and how it is labelled."""

    command: ClassVar[str] = "study"
    needed: ClassVar[Mapping[str, str]] = {"classes": "for example dog,cat"}

    classes: tuple[str, ...] = field(kw_only=False)
    """In the order of their ids: classes[0] is 1 in the masks."""
    images: Count = 1000
    objects: tuple[int, ...] = (1, 2)
    """How many classes are shown together, cycled over the images."""
    prompts: tuple[str, ...] = DEFAULT_PROMPTS
    """Templates with `{class}`, cycled over the images of each number of classes."""
    steps: Count = 50
    guidance_scale: AtLeastZero = 7.5
    scheduler: str | None = None
    """By name, as `generate` takes it; None: the one of the model's files, whatever its preset says."""
    size: Size | None = None
    capture_steps: CaptureSteps = "all"
    """Of which steps every labelling's attention is: `CaptureConfig.steps`."""
    labels: dict = field(default_factory=dict)
    """Labellings by name: the tables of their constants, as `Setting.table` gives them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_classes(self.classes)
        check_prompts(self.prompts)
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        if not self.objects or not all(1 <= count <= len(self.classes) for count in self.objects):
            raise UserError("objects", f"{self.objects} must be numbers of classes from 1 to {len(self.classes)}")
        self.settings()

    def settings(self) -> dict[str, Setting]:
        """Name → constants of the labellings. Raises UserError naming a faulty labelling."""
        from recipes.studies.settings import Setting

        return {name: Setting.from_table(table, f"labels.{name}") for name, table in self.labels.items()}


def draw_set(
    config: SetConfig,
    out: Path,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Draw and label the images of `config` in the folder `out`. Continues an interrupted run, on the device that it
    began on. Raises the same errors as `run`."""
    run(SetJob(on_device(config, out, device)), out, progress=progress)


def on_device(config: Config, out: Path, device: str | None) -> Config:
    """The configuration with `device`; unchanged if a run has begun in `out`, which continues on the device that it
    began on.
    """
    return config if (out / CONFIG).is_file() else replace(config, device=device or config.device)


def labelled(folder: Path, labelling: str, count: int | None = None) -> tuple[tuple[str, ...], list[Sample]]:
    """The classes and (the first `count`) samples of a set, with the masks of one labelling."""
    classes = native.read_classes(folder)
    items = []
    for where, row in itertools.islice(each_row(folder / DRAWN), count):
        image = file_of(folder, row.file_name, where, "file_name")
        index = row.index
        if index is None:
            raise UserError(where, "has no 'index', which is the number of its masks")
        mask = folder / mask_path(labelling, index)
        known = Row(prompt=row.prompt, classes=row.classes, seed=row.seed)
        items.append(Sample(image, partial(read_label_map, mask), row=known, name=image.stem))
    return classes, items


def mask_path(labelling: str, index: int) -> str:
    return f"{native.MASKS}/{labelling}/{index:06d}.png"


def set_specs(config: SetConfig) -> list[SampleSpec]:
    """The specifications of all images, from the configuration alone. Images with the same number of classes cycle
    through all classes.
    """
    from seediff.prompts.specs import SampleSpec

    groups = {count: class_groups(len(config.classes), (count,), config.seed + count) for count in set(config.objects)}
    templates = {count: itertools.cycle(config.prompts) for count in set(config.objects)}
    specs = []
    for index, count in zip(range(config.images), itertools.cycle(config.objects), strict=False):
        classes = tuple(config.classes[position] for position in next(groups[count]).numbers)
        prompt = next(templates[count]).replace("{class}", join_classes(classes))
        specs.append(SampleSpec(index, classes, prompt, sample_seed(config.seed, index, 0)))
    return specs


@dataclass(frozen=True, eq=False)
class SetJob(ModelJob[SetConfig, "SampleSpec"]):
    """Draws images, and labels them with every labelling."""

    ends = (DRAWN,)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.config.classes

    def items(self) -> list[SampleSpec]:
        return set_specs(self.config)

    def name_of(self, item: SampleSpec) -> str:
        return f"{item.index:06d}"

    def check(self) -> None:
        config, info = self.config, self.model_info
        check_options(LoadOptions.of(config), info)
        check_known_classes(info.name, info.settings.classes, config.classes)
        sizes = info.sizes
        if sizes is not None:
            check_sides(shape_of(config.size or sizes.side), "size", info.name, sizes.multiple, sizes.largest)

    def plan(self, model: ModelInfo | Model) -> None:
        from seediff.attention.draw import check_columns, check_steps

        check_columns(model.readers, dict.fromkeys((spec.prompt, spec.classes) for spec in self.items()), None)
        if isinstance(model, Model):
            check_steps(model, self.config.steps)

    def make(self, ready: Ready, items: Sequence[SampleSpec]) -> Made:
        from recipes.studies.capture import draw_with_attention

        settings, model = self.config.settings(), ready.model
        assert model is not None
        with self.timer("drawing"):
            images, maps = draw_with_attention(
                model,
                items,
                list(dict.fromkeys(setting.capture for setting in settings.values())),
                steps=self.config.steps,
                guidance_scale=self.config.guidance_scale,
                size=self.config.size,
                capture_steps=self.config.capture_steps,
            )
        samples = []
        for offset, (spec, image) in enumerate(zip(items, images, strict=True)):
            of_image = {source: of[offset] for source, of in maps.items()}
            samples.append(partial(self.encoded, settings, spec, image, of_image))
        return Made(samples)

    def encoded(
        self, settings: Mapping[str, Setting], spec: SampleSpec, image: np.ndarray, maps: Mapping[Any, Any]
    ) -> Encoded:
        """The row and files of an image, after its masks by every labelling are made. maps: setting of capture → the
        image's attention."""
        from recipes.studies.score import soft_masks
        from seediff.masks.make_masks import label_pixels

        with self.timer("masks"):
            softs = soft_masks(image, spec.classes, maps, list(settings.values()))
        ids = [self.classes.index(name) + 1 for name in spec.classes]
        files: dict[str, bytes] = {}
        for (name, setting), soft in zip(settings.items(), softs, strict=True):
            label_map = native.dataset_labels(label_pixels(soft, setting.config).cpu().numpy(), ids)
            files[mask_path(name, spec.index)] = encode_mask(label_map)
        file_name = f"{native.IMAGES}/{self.name_of(spec)}.png"
        files[file_name] = encode_image(image, "png")
        row = Row(
            file_name=file_name,
            index=spec.index,
            prompt=spec.prompt,
            classes=spec.classes,
            seed=spec.seed,
            rest={"labels": list(settings)},
        )
        return Encoded(row.sample, row, files)

    def complete(self, rows: Sequence[Row], facts: SetFacts, out: Path) -> None:
        write_atomic(out / native.CLASSES, native.classes_text(self.config.classes))
        write_atomic(out / DRAWN, native.jsonl(rows))
