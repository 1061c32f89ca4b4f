"""The new samples of `seediff augment`.

A new sample is made when it is read. Its random choices depend on the seed and on its number alone. Its bytes are
therefore the same in any order of reading and in any process.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..config.sets import AugmentConfig
from ..config.sides import mirrored_ids
from ..drawing.overlays import compress_image, contact_sheet, draw_mask
from ..errors import UserError
from ..files.outputs import CONFIG
from ..prompts.specs import sample_seed
from ..report.page import AUGMENTATIONS
from ..rows.parts import unclear_parts
from ..rows.row import Recipe, Row
from ..rows.shown import shown_classes
from . import native
from .encoding import encode_image
from .operations import LabelledImage, apply
from .sample import EXTRAS, Sample
from .split import pixel_digest
from .writing import save_native

MOST_PAIRS = 24
"""Maximum number of operations that augmentations.jpg shows."""


@dataclass(frozen=True)
class NewSample:
    """A new sample before it is made: which sample to change, and how."""

    name: str
    source: int
    """The position in the set of the sample that the operation changes."""
    operation: str
    number: int
    """The position among the new samples, from 0, from which its random seed follows."""


class AugmentedSamples(Sequence[Sample]):
    """The samples of a set, followed by new samples. Each new sample is made when it is read.

    config: the operations, how many new samples each makes, and whether the set's own samples are included
    (`keep_originals`). classes: the set's classes. samples: its samples. Raises UserError for a set without samples for
    training, and if `config` adds no sample.
    """

    def __init__(self, config: AugmentConfig, classes: Sequence[str], samples: Sequence[Sample]) -> None:
        self.config, self.classes, self.samples = config, tuple(classes), samples
        self.originals: list[Sample] = []
        """The samples with which this sequence begins, without soft masks and attention, which new ones do not have."""
        if config.keep_originals:
            self.originals = [sample.replace(extras=sample.extras_but(*EXTRAS)) for sample in samples]
        self.objects = any(sample.has_objects for sample in samples)
        """Whether any sample of the set has objects. Then every new sample has objects, too."""
        rows = [sample.row for sample in samples]
        others = {"val", "test", *unclear_parts(row.part for row in rows)}
        # The positions of the samples for training, of which new ones are made.
        self.sources = [i for i, row in enumerate(rows) if row.part not in others and not row.why_left_out()]
        if not self.sources:
            problem = "the dataset has no samples to augment: only those for training are changed"
            raise UserError(f"{problem}, and none that are rejected or unlabelled")
        self.mirrored = np.array(mirrored_ids(self.classes, mirror=config.mirror))
        self.new = self._choose()

    def _choose(self) -> list[NewSample]:
        """The new samples to make. Every sample for training is used once before any is used again, in a new random
        order each time."""
        prefix, again = "augmented", 1
        while any(sample.name.startswith(prefix) for sample in self.samples):  # the set was augmented before
            again += 1
            prefix = f"augmented{again}"
        count, operations = len(self.sources), list[str]()
        for addition in self.config.additions():
            operations += [addition.operation] * addition.of(count)
        if not operations:
            raise UserError("add", "adds no pictures", "for example flip:50%")
        sources: list[int] = []
        for turn in range(math.ceil(len(operations) / count)):
            order = np.random.default_rng([self.config.seed, turn]).permutation(count)
            sources += [self.sources[i] for i in order]
        turns = enumerate(zip(operations, sources, strict=False))
        return [NewSample(f"{prefix}-{number:06d}", source, kind, number) for number, (kind, source) in turns]

    def __len__(self) -> int:
        return len(self.originals) + len(self.new)

    def __getitem__(self, position: int) -> Sample:  # type: ignore[override]  # nobody asks for slices
        position, before = range(len(self))[position], len(self.originals)
        if position < before:
            return self.originals[position]
        return self.make(self.new[position - before])

    def make(self, new: NewSample) -> Sample:
        """The new sample, made from the picture and labels of its source."""
        seed = sample_seed(self.config.seed, new.number, 0)
        rng = np.random.default_rng(seed)
        source, place, rest = new.source, bisect_left(self.sources, new.source), len(self.sources) - 1
        seen = [source]

        def others(count: int) -> list[LabelledImage]:
            if not rest:
                return [self.read(source)] * count
            chosen = rng.choice(rest, count, replace=count > rest)
            # i counts the sources without this one, so the positions from its own on move up by one.
            positions = [self.sources[i + (i >= place)] for i in chosen]
            seen.extend(positions)
            return [*map(self.read, positions)]

        before = self.read(source)
        labelled, step = apply(before, new.operation, rng, others, self.mirrored)

        # Kept: the prompt, unless other samples are part of the picture; the model, if it drew the picture; the
        # method of a part of the mask that nobody has checked.
        # Dropped: the flags, which are about the source's mask.
        sample = self.samples[source]
        of_source, pixels = sample.row, sample.row.pixels or pixel_digest(before.image)
        rows = [self.samples[position].row for position in seen]
        row = Row(
            prompt=None if "sources" in step.rest else of_source.prompt,
            split=of_source.split,
            model=None if of_source.of_photo else of_source.model,
            method=next((row.method for row in rows if row.unchecked), None),
            recipe=Recipe(source=sample.name, pixels=pixels, seed=seed, steps=(step,)),
            version=__version__,
        )
        data = encode_image(np.ascontiguousarray(labelled.image), sample.suffix)
        row = row.showing(shown_classes(labelled.labels, self.classes))
        return Sample(data, labelled.labels, labelled.objects, row, name=new.name)

    def read(self, position: int) -> LabelledImage:
        """The sample at a position of the set, in memory."""
        sample = self.samples[position]
        labels = sample.labels(len(self.classes))
        objects = sample.objects(labels) if self.objects else None
        return LabelledImage(sample.name, sample.image, labels, objects)

    def added(self) -> Counter[str]:
        """Operation → number of new samples."""
        return Counter(new.operation for new in self.new)

    def before_after(self) -> bytes:
        """A JPEG that shows the first new sample of each operation beside its source, both with their masks."""
        first: dict[str, NewSample] = {}
        for new in self.new:
            first.setdefault(new.operation, new)
        shown, tiles = [*first.items()][:MOST_PAIRS], list[np.ndarray]()
        for _, new in shown:
            both = self.samples[new.source], self.make(new)
            drawn = [draw_mask(one.image, one.labels(len(self.classes)), 150) for one in both]
            tiles.append(contact_sheet(drawn, 2, gap=2))
        sheet = contact_sheet(tiles, 3, [kind for kind, _ in shown])
        return compress_image(sheet, "JPEG", quality=85, subsampling=0)


def open_augmented(config: AugmentConfig, data: Path | str) -> AugmentedSamples:
    """The samples of the native dataset `data`, followed by new samples. config: as for `AugmentedSamples`. Raises
    UserError as `open_native` and `AugmentedSamples` do."""
    return AugmentedSamples(config, *native.open_native(data))


def write_augmented(
    samples: AugmentedSamples,
    out: Path | str,
    **options: Any,
) -> None:
    """Writes the samples as the native dataset `out`, which appears only when it is complete. options: `link`,
    `workers` and `follow` of `save_native`. Raises UserError as `save_native` does."""
    config = samples.config
    about = {
        "command": config.command,
        "originals": len(samples.originals),
        "added": ", ".join(f"{kind} {count}" for kind, count in samples.added().items()),
        "seed": config.seed,
        "version": __version__,
    }
    files = {AUGMENTATIONS: samples.before_after(), CONFIG: config.to_toml().encode("utf-8")}
    save_native(out, samples.classes, samples, about=about, files=files, **options)
