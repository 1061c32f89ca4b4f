"""The attention of a set's samples, loaded or captured again, and masks made of it: what was made stays in memory."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cache, partial

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..config.generate_config import DatasetConfig
from ..config.method_constants import MaskConfig
from ..dataset.rows import as_row
from ..devices import cpu_threads
from ..errors import UserError
from ..files.documents import fit
from .events import Cache
from .sample_attention import Capturer, attention_of, cannot_capture, maps_path, read_config
from .session import Session
from .tuning import Constants, Tuner, constants_of

MEMORY = 1 << 30
"""Maximum bytes of cached attention. One sample's attention is always kept."""
CORRECTED = "A person corrected this mask; attention explains the mask before that."
UNKNOWN = "It is not known how this mask was made: masks and steps shown here use the default constants."
ALONE = threading.Lock()
"""The lock of mask making, which sets torch's number of threads for the whole process."""


class SetAttention:
    """The attention of the samples of a session, by their numbers."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._configs = cache(partial(read_config, session.dataset.folder))
        self._tuners: Cache[Tuner] = Cache(MEMORY, lambda tuner: tuner.size)
        self._capturer = Capturer()
        self._loading = threading.Lock()
        self._threads = torch.get_num_threads()

    def config(self, number: int) -> DatasetConfig | None:
        """The configuration that made a sample; None if unknown."""
        return self._configs(self.session.dataset.samples[number].metadata.get("made"))

    def constants(self, number: int) -> tuple[Constants, str]:
        """(constants, note) of a sample's current mask. If they are unknown, the constants are the usual ones, and the
        note says so to the page."""
        review, config = as_row(self.session.row(number)).review, self.config(number)
        remade = review.made
        if remade is not None:
            with suppress(UserError):
                return fit(remade, Constants, "the constants"), ""
        notes = [CORRECTED] if review.corrected else []
        if config is None or remade is not None:
            notes.append(UNKNOWN)
        return constants_of(config.mask if config else MaskConfig()), " ".join(notes)

    def load(self, number: int) -> Tuner:
        """A sample's attention. Raises UserError if there is none, and for an unusable file."""
        tuner = self.find(number)
        if tuner is None:
            raise UserError("no attention maps were saved; recompute them first")
        return tuner

    def find(self, number: int) -> Tuner | None:
        """A sample's attention; None if there is none. Raises UserError for an unusable file."""
        with self._loading:  # otherwise two threads would read the same file
            tuner, path = self._tuners.get(number), maps_path(self.session.dataset.samples[number])
            if tuner is not None or path is None:
                return tuner
            return self._keep(number, AttentionMaps.load(path))

    def cannot_capture(self, number: int) -> str:
        """Why a sample's attention cannot be captured again; empty if it can."""
        return cannot_capture(self.session.dataset.samples[number], self.config(number))

    def capture(self, number: int) -> None:
        """Run the model again, which takes as long as drawing the sample, and keep the maps. Raises UserError."""
        config, reason = self.config(number), self.cannot_capture(number)
        if config is None or reason:
            raise UserError(f"cannot recompute: {reason}")
        self._keep(number, self._capturer.capture(self.session.dataset.samples[number], config))

    def _keep(self, number: int, maps: AttentionMaps) -> Tuner:
        sample = self.session.dataset.samples[number]
        return self._tuners.put(number, Tuner(attention_of(sample, maps, self.config(number))))

    def make_labels(self, number: int, constants: Constants) -> np.ndarray:
        """(H, W) uint8: the label map with other constants, computed with as many threads as the set was. Raises
        UserError as `load` does."""
        tuner, config = self.load(number), self.config(number)
        threads = config and config.threads
        with ALONE, cpu_threads(threads or 1, self._threads):
            return tuner.labels(constants.change(tuner.attention.config), self.session.index.ids)
