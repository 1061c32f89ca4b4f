"""Learns a reading of the layers, as `tune --read` does, from the masks that people accepted or corrected. Then makes the masks that it
gives for unreviewed samples, so that people can look at them before they are used."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..config.constants import MaskConfig
from ..dataset.native import IGNORE
from ..dataset.reviews import REVIEWED
from ..errors import UserError
from ..files.label_maps import resize_nearest
from ..files.messages import counted
from ..files.outputs import make_folders
from ..files.tensors import read_header
from ..masks.reading import Reading
from ..run.reading import LEAST, Gain, Lesson, lesson, validated
from .attention import cannot_capture, kept_path
from .attention import seen as as_seen
from .compare import Comparison, difference
from .many import Job
from .tuning import Tuner
from .why import Why

MOST = 50
"""Maximum number of pictures to learn from: the default of `tune --count`."""
KEPT = "To learn from corrections, make the set with --keep-attention --capture-apart"
MADE, STOPPED = "masks by the reading", "stopped: nothing was learnt"


@dataclass
class Proposed:
    """The masks that a reading proposes, with the interface of `Other`. packed: name → label map (H, W) uint8, packed by zlib."""

    reading: Reading
    gain: Gain
    classes: tuple[str, ...]
    packed: dict[str, bytes]
    missing: int = 0
    label: str = "as learnt"

    def labels(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Raises UserError for a sample that was reviewed, or has no attention."""
        if name not in self.packed:
            raise UserError(f"the reading makes no mask of sample '{name}': somebody reviewed it, or it has no attention")
        return np.frombuffer(zlib.decompress(self.packed[name]), np.uint8).reshape(shape)


class Learner:
    """Learns in the page's jobs. proposed: the last result, until it is used or given up."""

    def __init__(self, why: Why) -> None:
        self.why, self.session = why, why.session
        self.proposed: Proposed | None = None
        self._before: Comparison | None = None
        self._folder = TemporaryDirectory(prefix="seediff-look-")
        self._count = 0

    def lessons(self) -> list[int]:
        """The samples to learn from: at most MOST of those whose masks a person accepted or corrected, evenly spaced."""
        right = np.flatnonzero(self.session.index.right()).tolist()
        return [right[i] for i in np.unique(np.linspace(0, len(right) - 1, min(MOST, len(right))).round().astype(int))]

    def changes(self) -> list[int]:
        """The unreviewed samples whose masks the proposed reading would change."""
        if self.proposed is None or self.session.comparison is None:
            return []
        different = np.flatnonzero(self.session.comparison.different > 0).tolist()
        return [number for number in different if not self.session.history(number).reviewed]

    def offer(self) -> dict[str, Any] | None:
        """The offer to learn and the proposal, for the page. None if nothing can be saved or fewer than LEAST masks are corrected."""
        index = self.session.index
        corrected = int((index.right() & index.corrected).sum())
        if self.session.subject.kind != "dataset" or self.session.read_only or corrected < LEAST:
            return None
        refusals = (self.refused(number) for number in self.lessons())
        refused = next(refusals)
        refused = refused and ("" if "" in refusals else refused)
        about = {"corrected": corrected, "refused": refused, "gain": "", "changed": 0, "of": 0}
        if proposed := self.proposed:
            gain = f"On pictures that it did not see: {proposed.gain}"
            about |= {"gain": gain, "changed": len(self.changes()), "of": len(proposed.packed)}
        return about

    def refused(self, number: int) -> str:
        """Why nothing can be learnt from a sample; empty if it can be used."""
        subject = self.session.subject
        sample = subject.samples[number]
        path = kept_path(subject, sample)
        with suppress(UserError):  # a damaged file
            if path and any(name.count(".") > 1 for name in read_header(path).tensors):
                return ""
        captured = cannot_capture(subject, sample, self.why.config(number))
        return captured and f"{KEPT}: its maps of single layers were not saved, and {captured}."

    def tuner(self, number: int) -> Tuner:
        """A sample's attention with the layers apart, saved or captured now. Raises UserError."""
        tuner, why = self.why.tuner(number), self.why
        if tuner is not None and tuner.seen.maps.cross_layers:
            return tuner
        subject, config = self.session.subject, why.config(number)
        if config is None or self.refused(number):
            raise UserError(f"{KEPT}.")
        apart = replace(config, capture=replace(config.capture, apart=True))
        maps = why.capturer.capture(subject, subject.samples[number], apart)
        return why.tuners.put(number, Tuner(as_seen(subject, subject.samples[number], maps, config)))

    def lesson(self, number: int) -> tuple[Lesson, list[str]]:
        """A sample as a lesson, and the names of its maps. The usual method in it is the one that made the set. Raises UserError."""
        ids, seen = self.session.index.ids, self.tuner(number).seen
        truth = self.session.labels(number)
        least = truth.size / (seen.maps.latent_size[0] * seen.maps.latent_size[1])
        classes = [name for name in seen.classes if (truth == ids.get(name, IGNORE)).sum() >= least and name in ids]
        if not classes:
            raise UserError("it shows none of the classes that it was drawn for")
        table = np.zeros(256, np.uint8)
        table[[ids[name] for name in classes]] = range(1, len(classes) + 1)
        table[IGNORE] = IGNORE
        usual = table[self.why.made(number, lambda config: config)][seen.part.slices]
        return lesson(seen.image, seen.maps, classes, table[truth[seen.part.slices]], resize_nearest(usual, *seen.image.shape[:2]))

    def learn(self, job: Job) -> dict[str, Any]:
        """Learn a reading, and make its masks of unreviewed samples. Raises UserError for too few lessons, and if nothing is gained."""
        chosen, usable = self.lessons(), list[int]()
        lessons: list[Lesson] = []
        names: list[str] = []
        wrong = ""
        for done, number in enumerate(chosen):
            if job.stop.is_set():
                return {"text": STOPPED}
            job.at(done, len(chosen), f"learning from {done} of {len(chosen)} masks")
            try:
                made, there = self.lesson(number)
            except UserError as error:
                wrong = f" ({self.session.subject.samples[number].name}: {error})"
                continue
            if (names := names or there) == there:
                lessons.append(made)
                usable.append(number)
        if len(lessons) < LEAST:
            raise UserError(f"{len(lessons)} masks can be learnt from, at least {LEAST} are needed{wrong}")
        job.say("weighing layers")
        config = self.tuner(usable[0]).seen.config
        learnt = validated(lessons, names, replace(config, reading="", dispute=None))
        made_by = self.why.config(usable[0])
        note = f"{counted(learnt.pictures, 'picture')} of {self.session.subject.folder.resolve().name}; on others {learnt.gain}"
        about = replace(learnt.reading.about, model=made_by.model if made_by else "", note=note)
        return self._propose(replace(learnt.reading, about=about), learnt.gain, job)

    def _propose(self, reading: Reading, gain: Gain, job: Job) -> dict[str, Any]:
        session, samples = self.session, self.session.subject.samples
        self._count += 1  # the file's name is part of the key of cached soft masks, so it must be new
        path = Path(self._folder.name) / f"reading-{self._count}.safetensors"
        reading.save(path)
        proposed = Proposed(reading, gain, session.subject.classes, {})
        comparison = Comparison(proposed, len(samples))
        unseen = [number for number in range(len(samples)) if not session.history(number).reviewed]
        for done, number in enumerate(unseen):
            if job.stop.is_set():
                return {"text": STOPPED}
            job.at(done, len(unseen), f"{done} of {len(unseen)} masks that nobody reviewed")
            try:
                self.tuner(number)
                labels = self.why.made(number, lambda config: with_reading(config, path))
                proposed.packed[samples[number].name] = zlib.compress(labels.tobytes(), 1)
                comparison.put(number, difference(session.labels(number), labels))
            except UserError:
                continue  # without attention, or damaged
        self.give_up()
        self._before, self.proposed = session.comparison, proposed
        session.compare_with(comparison)
        return {"text": f"learnt; {counted(int((comparison.different > 0).sum()), 'mask')} would change"}

    def drop(self, numbers: Iterable[int]) -> None:
        """Drop the proposed masks of samples that get new pictures."""
        if self.proposed is not None and self.session.comparison is not None:
            for number in numbers:
                self.proposed.packed.pop(self.session.subject.samples[number].name, None)
                self.session.comparison.different[number] = np.nan

    def give_up(self) -> None:
        """Drop the proposal."""
        if self.proposed is not None:
            self.proposed = None
            self.session.compare_with(self._before)

    def use(self, by: str) -> None:
        """Give the unreviewed samples the proposed masks, in one job. The reading is saved in the set."""
        if (proposed := self.proposed) is None:
            raise UserError("nothing is learnt that could be used")
        numbers = self.changes()
        jobs, folder = self.why.look.jobs, self.session.subject.folder

        def work(job: Job) -> dict[str, Any]:
            make_folders(folder, REVIEWED)
            path = next(name for i in range(1, 1 << 20) if not (folder / (name := f"{REVIEWED}/reading-{i}.safetensors")).exists())
            proposed.reading.save(folder / path)
            return jobs.change(numbers, MADE, partial(self._use_one, proposed, path, by), job)

        jobs.begin(work)
        self.give_up()

    def _use_one(self, proposed: Proposed, path: str, by: str, number: int, detail: dict[str, Any]) -> str:
        history, name = self.session.history(number), self.session.subject.samples[number].name
        version = history.version  # read first, so that somebody who acts in between makes it stale
        if history.reviewed:
            return "reviewed by somebody"
        labels = proposed.labels(name, self.session.labels(number).shape)
        self.session.act(number, version, "made", labels=labels, by=by, detail={"reading": path, **detail})
        return MADE


def with_reading(config: MaskConfig, path: Path) -> MaskConfig:
    """The configuration with a reading in place of its method, whose masks `dispute` compares."""
    return replace(config, reading=str(path), dispute=None)
