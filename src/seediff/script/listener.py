"""Finds out, for each call of a pipeline's network, which rows of the batch have the prompt, which text that is, and
where a run begins.

A run is one call of the pipeline. It begins when the pipeline encodes its prompt, and the listener remembers the
result. The rows of a batch that equal it are recorded, wherever they are: in a half of the batch under guidance, in a
third (InstructPix2Pix), in a call of their own, or alone where guidance is skipped. If the network is given nothing of
that result, rows are chosen by their position.

In a loop of one's own, which the pipeline does not run, a run also begins when the noise level turns back.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import FrameType
from typing import Any

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.networks import check_processors
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..files.messages import show_json

Texts = Mapping[str, str]
"""The texts of one image, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument with the text that comes before the prompt."""
ENCODE = ("encode_prompt", "_encode_prompt")
"""Names of the method of pipelines that encodes prompts; the first that is there is used."""
END = "maybe_free_model_hooks"
"""What diffusers' pipelines call at the end of their call."""
REMEMBERED = 16
"""Number of encodings to keep, so that a text is recognised when the pipeline is given only its earlier encoding."""


@dataclass(frozen=True)
class Encoded:
    """The result of one encoding of prompts. rows: R states (T, D) for the network. texts: argument of the pipeline →
    its texts; empty if embeddings were given instead. others: further states in the result, those of negative prompts.
    """

    rows: Sequence[torch.Tensor]
    texts: Mapping[str, Sequence[str]]
    others: Sequence[torch.Tensor] = ()

    def find(self, states: Sequence[torch.Tensor]) -> dict[int, int]:
        """Row of the batch → the first row of this encoding that equals it."""
        return _find(self.rows, states)


def _find(rows: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> dict[int, int]:
    """Index of a state → index of the first row that equals it, for states that have one."""
    if not rows:
        return {}
    equal = [torch.stack([_equal(row, state) for row in rows]) for state in states]
    table = torch.stack(equal).tolist()  # waits for a GPU once
    return {number: line.index(True) for number, line in enumerate(table) if any(line)}


def _equal(row: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Whether both are equal in the columns that both have, as padding may be cut off: a scalar where `state` is."""
    if row.ndim != state.ndim or row.shape[-1] != state.shape[-1]:
        return state.new_zeros((), dtype=torch.bool)
    columns = min(row.shape[0], state.shape[0])
    return (row[:columns].to(state) == state[:columns]).all()


@dataclass
class Run:
    """One call of the pipeline. maps, texts: of each image; no texts if only its encoded text is known. steps: calls of
    the network with the prompt. call: the frame of the pipeline's call until it has come to its END; None: it has, or
    has none. pictures: (H, W, 3) uint8 each, as the pipeline returned them, if it did. error: to raise when maps are
    requested."""

    maps: list[AttentionMaps] = field(default_factory=list)
    texts: list[Texts] = field(default_factory=list)
    steps: int = 0
    call: FrameType | None = None
    pictures: list[np.ndarray] = field(default_factory=list)
    error: UserError | None = None

    @property
    def images(self) -> int:
        return len(self.texts)


class Listener:
    """Listens to a pipeline and its network, and tells the recorder which rows to record.

    pipe: None: only its network is captured. prompts: the texts, if the pipeline is given only embeddings. check:
    called with (height, width) of L, the number of images, the device and the bytes of earlier maps before anything of
    a run is recorded; raises UserError.
    """

    def __init__(
        self, recorder: AttentionRecorder, pipe: Any, prompts: Sequence[str], check: Callable[..., None]
    ) -> None:
        self.recorder, self.pipe, self.prompts, self.check = recorder, pipe, prompts, check
        self.finished: list[Run] = []
        self.run: Run | None = None
        self.passed_over = False
        """Whether another pipeline drew with the network."""
        self._encoded: deque[Encoded] = deque(maxlen=REMEMBERED)
        self._fresh: dict[int, list[Encoded]] = {}  # thread → encodings since its last call of the network
        self._thread = 0
        self._read: Encoded | None = None  # the encoding that the run's rows are compared with
        self._count = 0  # the number of images or prompts in a batch, to choose rows by their position
        self._last: tuple[Any, Sequence[int] | None] = (None, None)
        self._first: Any = None  # in a run without encoding: the text states of its first call
        self._levels: list[float] = []  # in a loop of one's own: the last two noise levels that differ

    @property
    def held(self) -> int:
        """Bytes of the maps of finished runs."""
        return sum(each.nbytes for run in self.finished for maps in run.maps for *_, each in maps.tensors())

    # What the pipeline does

    def note_encoding(self, given: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `encode_prompt`. given: its arguments by name."""
        rows, *beside = output if isinstance(output, tuple) else (output,)
        if rows is None:
            return
        prompts = {name: _listed(given.get(name)) for name in ("prompt", "prompt_2", "prompt_3")}
        texts = {name: text for name, text in prompts.items() if text}
        clean = getattr(self.pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=given.get("clean_caption", False))
        if texts and INSTRUCTION in given:
            texts[INSTRUCTION] = ["\n".join(given[INSTRUCTION] or ())]
        if not isinstance(output, tuple) and given.get("do_classifier_free_guidance"):
            count = len(texts["prompt"]) if texts else len(given["prompt_embeds"])
            count *= int(given.get("num_images_per_prompt") or 1)
            # The first third, as for InstructPix2Pix, or the second half.
            rows = rows[:count] if len(rows) == 3 * count else rows[-count:]
        states = (part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim == 3))
        encoded = Encoded(list(rows), texts, [row for part in states for row in part])
        self._encoded.append(encoded)
        self._fresh.setdefault(threading.get_ident(), []).append(encoded)

    def note_pictures(self, _given: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `image_processor.postprocess`."""
        run = self.run or (self.finished[-1] if self.finished else None)
        pictures = _pictures(output)
        if run is not None and pictures:
            run.pictures = pictures

    def note_end(self, _given: Mapping[str, Any], _output: Any) -> None:
        """Called after the pipeline's END, with which its call ends unless an error or an interrupt ended it before."""
        if self.run is not None and self._thread == threading.get_ident():
            self.run.call = None

    # What the network is given

    def begin(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides whether a run begins, and which rows of this call are recorded."""
        calls = list(_calls(self.pipe))
        inside = [call for pipe, call in calls if pipe is self.pipe]
        call = next((call for call in inside if _is_ended(call)), None)
        other = bool(calls) and not inside and _is_pipeline(self.pipe)
        if other and (self.run is None or self.run.call is None or self._thread == threading.get_ident()):
            self.recorder.recording = False  # another pipeline with the same network
            self.passed_over = True
            return
        given = {**dict(zip(_parameters(type(network)), args, strict=False)), **kwargs}
        named = (given.get(name) for name in ("encoder_hidden_states", "cap_feats", "text_bth"))
        states = next((value for value in named if value is not None), None)
        batch, height, width = self.recorder.family.lattice(network, args, kwargs)
        if not other and self._begins(given, bool(inside)):
            self._start(network, call)
        elif self._thread != threading.get_ident():
            raise UserError(
                "two threads use a captured pipeline at once: let them take turns, or give each its own pipeline"
            )
        rows = None if given.get("skip_layers") is not None else self._choose(states, batch)
        if rows is None:
            self.recorder.recording = False
            return
        assert self.run is not None
        if self.run.texts and (self.recorder.latent_size, self.run.images) != ((height, width), len(rows)):
            self._start(network, call)  # another size or number of images: another run
        if not self.run.texts:
            self.run.texts = self._texts(rows, states)
            device = next(network.parameters()).device if states is None else states[0].device  # as of offloaded parts
            self.check((height, width), len(rows), device, self.held)
        self.recorder.rows = rows
        self.recorder.start_step(network, args, kwargs)
        self.run.steps += 1

    def finish(self) -> None:
        """End the current run, if any, and move its maps to the CPU. A run that was aborted is no picture."""
        run, self.run = self.run, None
        if run is None:
            return
        aborted = run.call is not None
        try:
            if run.steps and not aborted:
                texts = [text.get("prompt", "") for text in run.texts]
                run.maps = [maps.cpu() for maps in self.recorder.maps([{}] * run.images, texts)]
        except UserError as error:
            # attention that is not a number: raised when maps are requested, because the picture is unaffected
            run.error = error
        self.recorder.restart()
        if run.steps and not aborted:
            self.finished.append(run)

    def _start(self, network: Any, call: FrameType | None) -> None:
        if self.run is not None and self.run.call is call:  # which draws another picture
            self.run.call = None
        self.finish()
        check_processors(network)
        self.run = Run(call=call)
        self._thread = threading.get_ident()
        self._last, self._first = (None, None), None

    def _begins(self, given: Mapping[str, Any], inside: bool) -> bool:
        """Whether this call of the network is the first of a run: the first call after an encoding; or, where the
        pipeline does not make it (`inside`), the first such call, or one at which the noise level changes direction."""
        begins = self.run is None or threading.get_ident() in self._fresh
        level = given.get("timestep", given.get("t"))
        if level is None or (self._encoded and inside):
            self._levels = []
            return begins
        level = float(torch.as_tensor(level).flatten()[0])
        before = self._levels
        turned = not before or (len(before) == 2 and (level - before[1]) * (before[1] - before[0]) < 0)
        if begins or (turned and (not self._encoded or self._thread == threading.get_ident())):
            self._levels = [level]
            return True
        if level not in before[-1:]:
            self._levels = [*before[-1:], level]
        return False

    def _choose(self, states: Any, batch: int) -> Sequence[int] | None:
        """The rows with the prompt; None if this call has none."""
        if states is not None and states is self._last[0]:
            return self._last[1]
        if fresh := self._fresh.pop(threading.get_ident(), []):
            self._read = None if states is None else self._known_by(fresh, states)
            self._count = len((self._read or fresh[0]).rows)
        elif self._read is not None and self._last[0] is None and states is not None and not self._read.find(states):
            # The first call of a run in a loop of one's own: its text may have been encoded before other runs.
            earlier = sorted(self._encoded, key=lambda encoded: encoded is not self._read)
            self._read = self._known_by(earlier, states) or self._read
            self._count = len(self._read.rows)
        # Without an encoding, each batch counts for itself: the next run may have another number of pictures.
        self._count = (self._count if self._encoded else 0) or len(self.prompts) or batch
        rows = self._rows(states, batch)
        self._last = states, rows
        return rows

    def _known_by(self, fresh: Sequence[Encoded], states: Any) -> Encoded | None:
        """The encoding with the prompt, among those before a run's first call of the network; None if it was given none
        of them. Raises UserError if texts were encoded apart, and nothing shows which is the prompt.
        """
        by_source = sorted(fresh, key=lambda encoded: bool(encoded.texts))  # embeddings that were given come first
        there = [encoded for encoded in by_source if encoded.find(states)]
        apart = [encoded for encoded in fresh if encoded.texts and not encoded.others]
        if not there:
            return next((encoded for encoded in by_source if _find(encoded.others, states)), None)
        if not there[0].texts or there[0].others or len(apart) < 2:
            return there[0]
        for encoded in apart if self.prompts else ():
            if _plain(encoded.texts.get("prompt", ())) == _plain(self.prompts):
                return encoded
        family = self.recorder.family
        if len(there) > 1:  # halves of a batch; a shorter text may equal the beginning of a longer one
            row = states[0 if family.conditional == "first half" else -1]
            like = (encoded for encoded in there if encoded.find([row]))
            return max(like, key=lambda encoded: len(encoded.rows[0]), default=there[0])
        if there[0] is apart[0] and (family.conditional == "first call" or family.distilled):
            return there[0]
        first = show_json(there[0].texts.get("prompt"))
        raise UserError(
            f"texts were encoded apart, and the first call of the network has {first}; it is unknown whether that is"
            " the prompt; name it, capture(pipe, prompts='…')"
        )

    def _rows(self, states: Any, batch: int) -> Sequence[int] | None:
        """The rows that equal the encoding; without one, those at the usual place in diffusers' pipelines."""
        count, conditional = self._count, self.recorder.family.conditional
        if self._read is not None:
            matched = sorted(self._read.find(states))
            if not matched:
                return None  # the call without the prompt, or with a text that a callback put in its place
            # A list has a prompt's states once, which are repeated for its images later.
            if len(matched) <= count or (isinstance(states, list) and len(matched) % count == 0):
                return range(matched[0], matched[-1] + 1) if matched[-1] - matched[0] == len(matched) - 1 else matched
        if batch == count:
            if self._first is None:
                self._first = states
            return range(batch) if states is None or len(_find(list(self._first), states)) == batch else None
        if batch == 2 * count:
            return range(count) if conditional == "first half" else range(count, batch)
        if batch == 3 * count:
            return range(count)  # InstructPix2Pix: text and picture, picture alone, neither
        raise UserError(
            f"the network was given a batch of {batch} for {count} prompts: it is unknown which part has the prompt"
        )

    def _texts(self, rows: Sequence[int], states: Any) -> list[Texts]:
        """The texts of each image, in the order of the prompts, each repeated for each of its images."""
        read, images = self._read, len(rows)
        texts = {} if read is None else read.texts
        if read is not None and not texts:  # embeddings that were given, perhaps of a text that was heard
            same = (other for other in self._encoded if other.texts and len(other.rows) == len(read.rows))
            texts = next((other.texts for other in same if len(other.find(read.rows)) == len(read.rows)), {})
        if read is not None and texts:
            found = read.find([states[row] for row in rows])
            return [_spread(texts, found.get(number, number), len(read.rows)) for number in range(images)]
        if self.prompts and images % len(self.prompts):
            raise UserError(
                f"prompts: {len(self.prompts)} were given, but {images} images are drawn together; give one for each,"
                " or one for all"
            )
        given = {"prompt": self.prompts} if self.prompts else {}
        return [_spread(given, number, images) for number in range(images)]


def _spread(texts: Mapping[str, Sequence[str]], number: int, count: int) -> Texts:
    """The texts of one of `count` rows, from fewer texts that have equally many rows each."""
    return {name: given[number * len(given) // count] for name, given in texts.items()}


def _plain(texts: Sequence[str]) -> list[str]:
    return [text.strip().casefold() for text in texts]


def _listed(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def _is_pipeline(given: Any) -> bool:
    return any(kind.__name__ == "DiffusionPipeline" for kind in type(given).__mro__)


def _is_ended(call: FrameType) -> bool:
    """Whether a call of a pipeline ends with END, which some skip for latents."""
    return END in call.f_code.co_names and call.f_locals.get("output_type") != "latent"


def _calls(pipe: Any) -> Iterator[tuple[Any, FrameType]]:
    """The pipelines that are called in this thread (`pipe` or diffusers'), with the frame of the call, the innermost
    first."""
    frame = None if pipe is None else sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "__call__" and frame.f_code.co_argcount:
            owner = frame.f_locals.get(frame.f_code.co_varnames[0])
            if owner is pipe or _is_pipeline(owner):
                yield owner, frame
        frame = frame.f_back


@lru_cache(maxsize=8)
def _parameters(kind: type) -> list[str]:
    """The names of the arguments of a network."""
    return list(inspect.signature(kind.forward).parameters)[1:]


def _pictures(output: Any) -> list[np.ndarray]:
    """The pictures (H, W, 3) uint8 in what a pipeline returns; none for latents."""
    if torch.is_tensor(output):
        output = output.detach().float().cpu().movedim(1, -1).numpy() if output.ndim == 4 else ()
    if isinstance(output, np.ndarray):
        coloured = output.ndim == 4 and output.shape[3] == 3
        return [(image * 255).round().astype(np.uint8) for image in output] if coloured else []
    return [np.asarray(image.convert("RGB")) for image in output if hasattr(image, "convert")]
