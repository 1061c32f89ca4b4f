"""`generate`: draws images of classes, makes their masks and writes them as a dataset, batch by batch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..config.names_in_texts import classes_in, find_weight
from ..config.resolve import recommend
from ..config.runs import GenerateConfig
from ..config.sizes import shape_of
from ..dataset.encoding import as_saved, encode_image
from ..dataset.writing import Encoded
from ..errors import UserError
from ..files.messages import plural
from ..files.names import REJECTED
from ..models.describe import ModelInfo
from ..models.registry import Model
from ..models.saving_memory import Offload
from ..prompts.specs import redraw, sample_count, sample_specs
from ..report.set_summary import SetFacts, count_flags
from ..rows.row import Row
from ..rows.values import FLAGS, NOT_DRAWN, flag_kind
from ..workers import Progress
from .engine import Engine
from .job import Made, ModelJob, Ready
from .loop import run
from .mask_job import encode_masked
from .output import RunResult
from .plan import Plan, plan_model, strange_words

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.results import MaskResult
    from ..prompts.specs import SampleSpec

Draw = Callable[[Sequence["SampleSpec"]], tuple[Sequence[np.ndarray], Sequence["AttentionMaps"]]]
"""Takes the specifications of a batch. Returns (images, maps): each sample's image (H, W, 3) uint8 and attention maps.
Equal specifications must always give equal images and maps."""
PROMPTS_SHOWN = 8
ENOUGH = 0.9
"""A class with a smaller share of the images that were asked for is said to have too few."""
NEARLY_ALL = 0.8
"""Above this share of mixed drawings, the flag is taken to say nothing."""


def generate(
    config: GenerateConfig | None = None,
    out: Path | str | None = None,
    *,
    draw: Draw | None = None,
    offload: Offload = "none",
    engine: Engine | None = None,
    progress: Progress | None = None,
    finish: bool = False,
    **options: Any,
) -> RunResult:
    """Make the dataset that `config` describes in the folder `out`.

    Without a configuration, the options go to `GenerateConfig.recommended`: `generate(classes=["dog"], out="pets")`.
    The same call continues a run that was interrupted at any moment, and gives the same bytes; a finished dataset stays
    as it is.

    draw: a function that replaces the model. offload: which parts of the model wait in the computer's memory while they
    are not used; this changes no byte. engine: makes the batches; None: this process. progress: a function to report
    to. finish: whether to end a stopped run with the batches that it has made; the same call without it goes on.

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
    job = GenerateJob(config, info, offload, draw=draw)
    return run(job, out, engine=engine, progress=progress, finish=finish)


class DrawnSample(NamedTuple):
    """A drawn sample that is kept."""

    spec: SampleSpec
    image: np.ndarray
    """(H, W, 3) uint8."""
    attention: AttentionMaps
    masks: MaskResult | None
    """Its masks; None: not made yet, because nothing depends on them."""


@dataclass(frozen=True, eq=False)
class GenerateJob(ModelJob[GenerateConfig, "SampleSpec"]):
    """Draws images of classes, and makes their masks."""

    left_out_file = REJECTED

    draw: Draw | None = None
    """A function that replaces the model."""

    @property
    def runs_model(self) -> bool:
        return self.draw is None

    @property
    def classes(self) -> Sequence[str]:
        return self.config.classes

    def items(self) -> list[SampleSpec]:
        return sample_specs(self.config)

    @property
    def count(self) -> int:
        return sample_count(self.config)

    def remarks(self, result: RunResult) -> list[str]:
        """Lines about samples that were drawn again; empty if none was."""
        config = self.config
        draws = Counter(row.index for row in result.rejected)
        if not draws:
            return []
        left_out = sum(count == config.attempts for count in draws.values())
        lines = [f"{len(draws) - left_out} redrawn, {left_out} left out: why is in {REJECTED}"]
        mixed = sum(any(flag_kind(flag) == "mixed" for flag in row.flag_list) for row in result.rejected)
        images = Counter(chain.from_iterable(row.class_names for row in result.rows))
        few = [name for name in self.classes if images[name] < ENOUGH * config.per_class]
        if mixed > NEARLY_ALL * (result.made + len(result.rejected)):
            why = "the model draws these classes as one thing, or its words hardly tell masks apart"
            lines.append(f"Nearly all drawings are flagged mixed: {why}; --no-reject keeps them, to look at")
        elif few:
            more = math.ceil(config.per_class**2 / max(min(images[name] for name in few), 1))
            lines.append(f"Few images of {', '.join(few)}: the same command with --per-class {more} adds more")
        return lines

    @cached_property
    def prompts(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        """(prompt, the classes that it names), each once."""
        return list(dict.fromkeys((spec.prompt, spec.classes) for spec in sample_specs(self.config)))

    def plan(self, model: ModelInfo | Model) -> Plan | None:
        from ..attention.draw import check_columns, check_negative, check_steps

        config = self.config
        plan = plan_model(config, model)
        check_columns(model.readers, self.prompts, plan and plan.capture)
        if isinstance(model, Model):
            check_negative(model, config.negative_prompt, config.guidance_scale)
            check_steps(model, config.steps)
        return plan

    @cached_property
    def doubts(self) -> Sequence[str]:
        """Warnings about prompts: that they have signs of other programs; for a model that lists its words, that they
        name classes which get no label, or words that the model does not know."""
        if not self.runs_model:
            return []
        signs = dict.fromkeys(filter(None, (find_weight(prompt) for prompt, _ in self.prompts)))
        lines = [*map(_sign_line, signs)]
        settings = self.model_info.settings
        if not settings.words or not settings.classes:
            return lines

        named = {*chain.from_iterable(classes_in(self.config.prompts, settings.classes))}
        others = ", ".join(sorted(named - {*self.config.classes}))
        if others:
            lines.append(
                f"Prompts name {others}, not among the classes: what is drawn of it may get another class's label"
            )
        strange = strange_words(self.model_info, (prompt for prompt, _ in self.prompts))
        return [*lines, *filter(None, [strange])]

    def draw_batch(
        self, ready: Ready, specs: Sequence[SampleSpec]
    ) -> tuple[Sequence[np.ndarray], Sequence[AttentionMaps]]:
        """(images, maps): the images, each (H, W, 3) uint8, and the attention maps of specifications, drawn together as
        one batch."""
        from ..attention.draw import generate_batch

        if self.draw is not None:
            return self.draw(specs)
        config = self.config
        model, capture = ready.of_model()
        return generate_batch(
            model,
            specs,
            steps=config.steps,
            guidance_scale=config.guidance_scale,
            negative_prompt=config.negative_prompt,
            size=config.size,
            plan=capture,
            say=ready.say,
        )

    def make(self, ready: Ready, items: Sequence[SampleSpec]) -> Made:
        """Draw a batch. Rejected samples (`reasons_to_reject`) are drawn again as a smaller batch, until all are kept
        or the attempts are used up."""
        kept: list[DrawnSample] = []
        rejected: list[Row] = []
        specs = list(items)
        for attempt in range(self.config.attempts):
            drawn = self.drawn(ready, [redraw(spec, self.config.seed, attempt) for spec in specs])
            specs = []  # those to draw again
            for sample in drawn:
                spec = sample.spec
                reasons = self.reasons_to_reject(sample)
                if reasons:
                    flags = tuple(reasons)
                    about = Row(index=spec.index, attempt=attempt, seed=spec.seed, classes=spec.classes, flags=flags)
                    rejected.append(about)
                    specs.append(spec)
                else:
                    kept.append(sample)
            if not specs:
                break
        kept.sort(key=lambda sample: sample.spec.index)
        return Made([partial(self.encoded, ready, sample) for sample in kept], rejected)

    def drawn(self, ready: Ready, specs: Sequence[SampleSpec]) -> Iterator[DrawnSample]:
        """The samples of specifications, drawn together as one batch. Those that may be rejected have masks."""
        with self.timer("drawing"):
            images, maps = self.draw_batch(ready, specs)
        for spec, image, attention in zip(specs, images, maps, strict=True):
            masks = None
            if self.config.may_reject(spec.classes):
                masks = self.masks(ready, spec, image, attention)
            yield DrawnSample(spec, image, attention, masks)

    def reasons_to_reject(self, sample: DrawnSample) -> list[str]:
        """Why a sample is rejected: flags of its masks, those in NOT_DRAWN by default and any flag with `reject`; and
        `confidence:dog` if the mask of dog has less than `min_confidence`. Empty for a good sample, and for a sample
        without masks."""
        masks = sample.masks
        config = self.config
        if masks is None:
            return []
        kinds = NOT_DRAWN if config.reject is None else FLAGS
        flags = [flag for flag in masks.flags if flag_kind(flag) in kinds and config.reject is not False]
        if config.min_confidence:
            flags += [f"confidence:{name}" for name, sure in masks.confidence.items() if sure < config.min_confidence]
        return flags

    def masks(self, ready: Ready, spec: SampleSpec, image: np.ndarray, attention: AttentionMaps) -> MaskResult:
        """The masks of a drawn sample. image: (H, W, 3) uint8."""
        from ..masks.make_masks import make_masks

        constants = self.config.mask
        if ready.plan is not None:
            constants = ready.plan.capture.mask or constants
        image = as_saved(image, self.config.image_format)
        with self.timer("masks"):
            return make_masks(image, attention, spec.classes, constants, trace=False)

    def encoded(self, ready: Ready, drawn: DrawnSample) -> Encoded:
        """The row and files of a drawn sample, after its masks are made if it has none."""
        spec, image, attention, masks = drawn
        result = masks or self.masks(ready, spec, image, attention)
        with self.timer("writing"):
            return encode_masked(
                self.config,
                f"{spec.index:06d}",
                encode_image(image, self.config.image_format),
                result,
                attention,
                Row(prompt=spec.prompt, seed=spec.seed, attempt=spec.attempt),
            )

    def about(self, left_out: Sequence[Row]) -> SetFacts:
        rejected = count_flags(left_out, self.classes)
        return replace(super().about(left_out), rejected=rejected)

    def contents(self) -> Iterator[str]:
        config = self.config
        images = self.count
        yield f"{plural(images, 'image')} in {plural(len(config.batches(images)), 'batch')}, {self._extent()}"
        prompts = dict.fromkeys(prompt for prompt, _ in self.prompts)
        counts = Counter(chain.from_iterable(spec.classes for spec in sample_specs(config)))
        yield f"Classes: {', '.join(f'{name} {counts[name]}' for name in config.classes)}"
        yield f"Prompts: {len(prompts)} different"
        yield from (f"  {prompt}" for prompt in [*prompts][:PROMPTS_SHOWN])
        if len(prompts) > PROMPTS_SHOWN:
            yield "  …"

    def _extent(self) -> str:
        """The size of the images, as the end of a line: "each of 512×512"."""
        sizes = self.model_info.sizes
        size = self.config.size or (sizes and sizes.side)
        if size is None:
            return "each of the model's own size, which is not known on this machine"
        height, width = shape_of(size)
        return f"each of {width}×{height}"


def _sign_line(sign: str) -> str:
    line = f"'{sign}' in a prompt is read as plain words"
    if sign.lower().startswith("<lora"):
        line += "; --lora loads a LoRA"
    return line
