"""`generate`: draws images of classes, makes their masks and writes them as a dataset, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..config.class_names import classes_in, spoken
from ..config.generate_config import GenerateConfig
from ..config.method_constants import MaskConfig, maps_read
from ..config.resolve import recommend
from ..config.sizes import pixels
from ..dataset import native
from ..dataset.encoding import encode_image
from ..dataset.writing import Encoded, encode
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import write_atomic
from ..models.describe import ModelInfo
from ..models.families.readers import Reader
from ..models.locate import named_model
from ..models.saving_memory import Offload
from ..prompts.captions import content_words
from ..prompts.specs import each_spec, redraw, sample_count, sample_specs
from ..report.tables import count_flags
from ..rows.row import Row
from ..workers import Progress
from .engine import Engine
from .job import CapturedBatch
from .loop import RunResult, run
from .masked_sample import draw_strips, masked_sample, traced_classes
from .model_job import ModelJob
from .output import numbered_name, rows_in_order

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.make_masks import MaskResult
    from ..models.registry import Model
    from ..prompts.specs import SampleSpec

Draw = Callable[[Sequence["SampleSpec"]], tuple[Sequence[np.ndarray], Sequence["AttentionMaps"]]]
"""Takes the specifications of a batch. Returns (images, maps): each sample's image (H, W, 3) uint8 and attention maps.
Equal specifications must always give equal images and maps."""
PROMPTS_SHOWN = 8


def generate(
    config: GenerateConfig | None = None,
    out: Path | str | None = None,
    *,
    draw: Draw | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> RunResult:
    """Make the dataset that `config` describes in the folder `out`.

    Without a configuration, the options go to `GenerateConfig.recommended`: `generate(classes=["dog"], out="pets")`.
    The same call continues a run that was interrupted at any moment, and gives the same bytes; a finished dataset stays
    as it is.

    draw: a function that replaces the model. offload: which parts of the model wait in the computer's memory while they
    are not used; this changes no byte. engine: makes the batches; None: this process. progress: a function to report
    to.

    Raises UserError for everything that the user can fix: `out` has other contents or a dataset of another
    configuration, another run is using it, the model is missing, or it does not know a class. Raises OSError if the
    disk fills up.
    """
    if out is None:
        raise UserError("out", "is missing", 'name the folder of the dataset, out="pets"')
    if config is not None and options:
        problem = "given together with a configuration; put them into it, or leave it out"
        raise UserError(", ".join(options), problem)
    info = None
    if config is None:
        config, info = recommend(GenerateConfig, options)
    job = GenerateJob(config, draw, info=info, offload=offload)
    return run(job, out, engine=engine, progress=progress)


class DrawnSample(NamedTuple):
    """A drawn sample that is kept."""

    spec: SampleSpec
    image: np.ndarray
    """(H, W, 3) uint8."""
    attention: AttentionMaps
    masks: MaskResult | None
    """Its masks; None: not made yet, because nothing depends on them."""


class GenerateJob(ModelJob[GenerateConfig, "SampleSpec", DrawnSample]):
    """Draws images of classes, makes their masks, and writes both."""

    product = "images"
    left_out = "rejected", native.REJECTED

    def __init__(
        self,
        config: GenerateConfig,
        draw: Draw | None = None,
        *,
        info: ModelInfo | None = None,
        offload: Offload = "none",
    ) -> None:
        super().__init__(config, info, offload)
        self.draw, self.classes = draw, config.classes
        self.runs_model = draw is None

    def items(self) -> list[SampleSpec]:
        return sample_specs(self.config)

    @cached_property
    def traced(self) -> dict[int, list[str]]:
        """As `traced_classes` returns it."""
        return traced_classes(chain.from_iterable(self.batches.values()))

    @property
    def mask_config(self) -> MaskConfig:
        """The constants for masks. Levels of attention that the model lacks are replaced, if the plan is known."""
        return (self.capture_plan and self.capture_plan.mask) or self.config.mask

    def load(self) -> str:
        return "" if self.draw is not None else super().load()

    def check_texts(self, readers: Sequence[Reader]) -> None:
        from ..attention.draw import check_texts

        check_texts(readers, each_spec(self.config), self.capture_plan)

    def use(self, model: Model) -> None:
        from ..attention.draw import check_drawing

        super().use(model)
        for line in self.doubts():
            self.warn(line)
        config = self.config
        check_drawing(
            model,
            [*chain.from_iterable(self.batches.values())],
            plan=self.loaded_plan,
            steps=config.steps,
            guidance_scale=config.guidance_scale,
            negative_prompt=config.negative_prompt,
        )

    def doubts(self) -> list[str]:
        """Warnings about prompts, for a model that lists its words: that they name classes which get no label, or words
        that the model does not know."""
        settings = self.info.settings
        if not settings.words or not settings.classes:
            return []
        lines = list[str]()

        # 1. Classes that the prompts name although they are not among the dataset's
        named = {*chain.from_iterable(classes_in(self.config.prompts, settings.classes))}
        others = ", ".join(sorted(named - {*self.config.classes}))
        if others:
            lines.append(
                f"Prompts name {others}, not among the classes: what is drawn of it may get another class's label"
            )

        # 2. Words that the model does not know
        used = dict.fromkeys(chain.from_iterable(content_words(spec.prompt) for spec in each_spec(self.config)))
        taught = {*content_words(" ".join(map(spoken, settings.words)))}
        strange = [word for word in used if word not in taught]
        if strange:
            words = strange[:PROMPTS_SHOWN]
            if len(strange) > PROMPTS_SHOWN:
                words.append("…")
            model = f"Model '{self.config.model}'"
            lines.append(f"{model} was never taught some words: {', '.join(words)}; with them it draws worse")
        return lines

    def draw_batch(self, specs: Sequence[SampleSpec]) -> tuple[list[np.ndarray], list[AttentionMaps]]:
        """(images, maps): the images, each (H, W, 3) uint8, and the attention maps of specifications, drawn together as
        one batch."""
        from ..attention.draw import generate_batch

        config = self.config
        return generate_batch(
            self.model,
            specs,
            steps=config.steps,
            guidance_scale=config.guidance_scale,
            negative_prompt=config.negative_prompt,
            size=config.size,
            plan=self.loaded_plan,
        )

    def capture(self, batch: Sequence[SampleSpec]) -> CapturedBatch[DrawnSample]:
        """Draw a batch. With `reject`, a sample is rejected if its masks have flags, or agree too little with the masks
        of the method CA·SA. Rejected samples are drawn again as a smaller batch, until all are kept or the attempts are
        used up."""
        attempts, kept, rejected = 1, list[DrawnSample](), list[Row]()
        if self.config.reject:
            attempts = self.config.attempts
        specs = list(batch)
        for attempt in range(attempts):
            drawn = self._drawn([redraw(spec, self.config.seed, attempt) for spec in specs])
            specs = []  # those to draw again
            for sample in drawn:
                spec, reasons = sample.spec, self.reasons_to_reject(sample)
                if reasons:
                    about = Row(index=spec.index, attempt=attempt, seed=spec.seed, classes=spec.classes)
                    rejected.append(about.replace(flags=tuple(reasons)))
                    specs.append(spec)
                else:
                    kept.append(sample)
            if not specs:
                break
        return CapturedBatch(sorted(kept, key=lambda sample: sample.spec.index), rejected)

    def _drawn(self, specs: Sequence[SampleSpec]) -> Iterator[DrawnSample]:
        """The samples of specifications, drawn together as one batch. With `reject`, they have masks."""
        with self.timer("drawing"):
            images, maps = (self.draw or self.draw_batch)(specs)
        for spec, image, attention in zip(specs, images, maps, strict=True):
            masks = None
            if self.config.reject:
                masks = self.masks(spec, image, attention)
            yield DrawnSample(spec, image, attention, masks)

    def reasons_to_reject(self, sample: DrawnSample) -> list[str]:
        """Why a sample is rejected: the flags of its masks, and `agreement:dog` if the mask of dog agrees too little
        with the mask of the method CA·SA. Empty for a good sample, and for a sample without masks."""
        masks, least = sample.masks, self.config.min_agreement or 0.0
        if masks is None:
            return []
        return [*masks.flags, *(f"agreement:{name}" for name, value in masks.agreement.items() if value < least)]

    def masks(self, spec: SampleSpec, image: np.ndarray, attention: AttentionMaps) -> MaskResult:
        from ..masks.make_masks import make_masks

        with self.timer("masks"):
            result = make_masks(image, attention, spec.classes, self.mask_config, trace=spec.index in self.traced)
            missing = [f"missing:{name}" for name in self.missing(spec, attention)]
            return replace(result, flags=(*result.flags, *missing))

    def missing(self, spec: SampleSpec, attention: AttentionMaps) -> list[str]:
        """The classes that the model seems not to have drawn, because their attention has too little contrast. Only
        samples of several classes are judged, and only if the model's settings say how much contrast a drawn class
        has (`own_contrast`)."""
        from ..masks.presence import CONTRAST_LEVEL, contrast

        least = None if self.draw else self.model.info.settings.own_contrast
        levels = maps_read(self.mask_config)["cross"]
        if least is None or len(spec.classes) < 2 or (levels is not None and CONTRAST_LEVEL not in levels):
            return []
        return [name for name in spec.classes if contrast(attention, name) < least]

    def encode(self, captured: DrawnSample) -> Encoded:
        spec, image, attention, masks = captured
        result = masks or self.masks(spec, image, attention)
        with self.timer("writing"):
            sample = masked_sample(
                self.config,
                numbered_name(spec.index),
                encode_image(image, self.config.image_format),
                result,
                result.soft.cpu().numpy,
                attention,
                draw_strips(result, self.traced.get(spec.index, ()), self.classes),
                Row(prompt=spec.prompt, seed=spec.seed, attempt=spec.attempt),
            )
            return encode(sample, self.classes)

    def about(self, left_out: Sequence[Row]) -> dict[str, Any]:
        return {
            **super().about(left_out),
            "prompts": list(self.config.prompts),
            "rejected": count_flags(left_out, self.classes),
        }

    def finish(self, rows: Sequence[Row], left_out: Sequence[Row], out: Path) -> None:
        if self.config.reject:
            write_atomic(out / native.REJECTED, native.jsonl(left_out))
        super().finish(rows_in_order(out, rows), left_out, out)

    def describe(self, verbose: bool) -> Iterator[str]:
        config, images = self.config, sample_count(self.config)
        counts, prompts = Counter[str](), dict[str, None]()
        for spec in each_spec(config):
            counts.update(spec.classes)
            prompts[spec.prompt] = None
        yield f"{plural(images, 'image')} in {plural(len(config.batches(images)), 'batch')}, {self._extent()}"
        yield f"Classes: {', '.join(f'{name} {counts[name]}' for name in config.classes)}"
        yield f"Prompts: {len(prompts)} different"
        yield from (f"  {prompt}" for prompt in [*prompts][:PROMPTS_SHOWN])
        if len(prompts) > PROMPTS_SHOWN:
            yield "  …"
        yield from self.plan_lines(verbose)
        yield from self.doubts()

    def _extent(self) -> str:
        """The size of the images, as the end of a line: "each of 512×512"."""
        sizes = self.info.sizes()
        size = self.config.size or (sizes and sizes.side)
        if size is None:
            named = named_model(self.config.model)
            own = named.what if named else "which is not known on this machine"
            return f"each of the model's own size, {own}"
        height, width = pixels(size)
        return f"each of {width}×{height}"
