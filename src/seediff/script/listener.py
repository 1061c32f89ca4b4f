"""What a pipeline tells its network, call by call: which rows of a batch have the prompt, which text that is, and where a run begins.

A run is what one call of the pipeline makes. It begins with the pipeline's encoding of its prompt, which is listened to: the rows of a
batch that hold what came out of it are the ones that are recorded, wherever they stand: in a half of the batch under guidance, in a third
(InstructPix2Pix), in a call of their own, or alone where guidance is skipped. Where nothing came out of it that the network was given, rows
are taken by their position.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, update_wrapper
from typing import Any

import numpy as np
import torch

from ..attention.maps import AttentionMaps, Grid
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..files.messages import shown
from .refused import check_processors

Texts = Mapping[str, str]
"""Of one image, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument: what stands before the prompt."""
REMEMBERED = 16
"""Encoded prompts that are kept, to know a text again where the pipeline is given only what was encoded before."""


@dataclass(frozen=True)
class Encoded:
    """One encoding of prompts. rows: what the network is given of each, R of (T, D). texts: argument of the pipeline → its texts; empty
    where states were given instead of them. others: what came out beside, of negative prompts."""

    rows: Sequence[torch.Tensor]
    texts: Mapping[str, Sequence[str]]
    others: Sequence[torch.Tensor] = ()

    def text(self, row: int) -> Texts:
        """Of a row: prompts stand one behind the other, each as often as there are images of it."""
        return {name: texts[row * len(texts) // len(self.rows)] for name, texts in self.texts.items()}

    def find(self, states: Sequence[torch.Tensor]) -> dict[int, int]:
        """Row of the batch → the first of these rows that it is equal to."""
        return _find(self.rows, states)


def _find(rows: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> dict[int, int]:
    """Number of a state → the first of the rows that it is equal to."""
    if not rows:
        return {}
    table = torch.stack([torch.stack([_equal(row, state) for row in rows]) for state in states]).tolist()  # a GPU is waited for once
    return {number: line.index(True) for number, line in enumerate(table) if any(line)}


def _equal(row: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Whether both hold the same, a scalar on the device of `state`; padding that was cut off does not count."""
    if row.ndim != state.ndim or row.shape[-1] != state.shape[-1]:
        return state.new_zeros((), dtype=torch.bool)
    columns = min(row.shape[0], state.shape[0])
    return (row[:columns].to(state) == state[:columns]).all()


@dataclass
class Run:
    """What one call of the pipeline made. images: how many. texts: of each image; empty where only encoded text was seen. steps: calls of
    the network that were recorded. pictures: (H, W, 3) uint8 each, as the pipeline gave them; empty where it gave none."""

    maps: list[AttentionMaps] = field(default_factory=list)
    texts: list[Texts] = field(default_factory=list)
    steps: int = 0
    pictures: list[np.ndarray] = field(default_factory=list)
    error: UserError | None = None

    @property
    def images(self) -> int:
        return len(self.texts)


class Listener:
    """Hears a pipeline and its network, and has the recorder record the right rows.

    prompts: texts where only embeddings are given. clean: what the pipeline makes of prompts before it reads them. check: called with
    (height, width) of L and the number of images before the first of them is recorded; raises UserError.
    """

    def __init__(
        self,
        recorder: AttentionRecorder,
        *,
        prompts: Sequence[str] = (),
        clean: Callable[..., list[str]] | None = None,
        check: Callable[[Grid, int], None] | None = None,
    ) -> None:
        self.recorder = recorder
        self.prompts = prompts
        self.clean = clean
        self.check = check
        self.finished: list[Run] = []
        self.run: Run | None = None
        self._encoded: deque[Encoded] = deque(maxlen=REMEMBERED)
        self._fresh: dict[int, list[Encoded]] = {}  # thread → since its last call of the network
        self._thread = 0
        self._read: Encoded | None = None  # what the run's rows are known by
        self._count = 0  # images or prompts that a batch is made of, where rows are taken by their position
        self._last: tuple[Any, Sequence[int] | None] = (None, None)
        self._first: Any = None  # of a run without encoding: the text of its first call
        self._levels: list[float] = []  # of noise, the last two that differ

    # What the pipeline does

    def heard_encoding(self, given: Mapping[str, Any], output: Any) -> None:
        """After the pipeline's `encode_prompt`. given: its arguments by name."""
        rows = output[0] if isinstance(output, tuple) else output
        if rows is None:
            return
        prompts = {name: _texts(given.get(name)) for name in ("prompt", "prompt_2", "prompt_3")}
        texts = {name: text for name, text in prompts.items() if text}
        if texts and self.clean is not None:
            texts["prompt"] = self.clean(texts["prompt"], clean_caption=given.get("clean_caption", False))
        if texts and INSTRUCTION in given:
            texts[INSTRUCTION] = ["\n".join(given[INSTRUCTION] or ())]
        if not isinstance(output, tuple) and given.get("do_classifier_free_guidance"):
            count = len(texts["prompt"]) if texts else len(given["prompt_embeds"])
            rows = _conditional(list(rows), count * int(given.get("num_images_per_prompt") or 1))
        beside = output[1:] if isinstance(output, tuple) else ()
        others = [row for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim == 3) for row in part]
        encoded = Encoded(list(rows), texts, others)
        self._encoded.append(encoded)
        self._fresh.setdefault(threading.get_ident(), []).append(encoded)

    def heard_pictures(self, _given: Mapping[str, Any], output: Any) -> None:
        """After the pipeline's `image_processor.postprocess`."""
        run = self.run or (self.finished[-1] if self.finished else None)
        pictures = _pictures(output)
        if run is not None and pictures:
            run.pictures = pictures

    # What the network is given

    def begin(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network."""
        given = _bound(network, args, kwargs)
        states = next((given[name] for name in ("encoder_hidden_states", "cap_feats", "text_bth") if given.get(name) is not None), None)
        batch, height, width = self.recorder.family.lattice(network, args, kwargs)
        if self._begins(given):
            self._start(network)
        elif self._thread != threading.get_ident():
            raise UserError("two threads draw with a captured pipeline at once: let them take turns, or give each its own pipeline")
        rows = None if given.get("skip_layers") is not None else self._choose(states, batch)
        if rows is None:
            self.recorder.recording = False
            return
        if self.run is not None and self.run.texts and (self.recorder.latent_size, self.run.images) != ((height, width), len(rows)):
            self._start(network)  # of another size: a picture of its own
        assert self.run is not None
        if not self.run.texts:
            self.run.texts = self._texts(rows, states)
            if self.check is not None:
                self.check((height, width), len(rows))
        self.recorder.rows = rows
        self.recorder.start_step(network, args, kwargs)
        self.run.steps += 1

    def finish(self) -> None:
        """End the run that is going on, if any: its maps are taken, to the CPU."""
        run, self.run = self.run, None
        if run is None:
            return
        try:
            if run.steps:
                texts = [text.get("prompt", "") for text in run.texts]
                run.maps = [maps.cpu() for maps in self.recorder.maps([{}] * run.images, texts)]
        except UserError as error:
            run.error = error  # of attention that is no number: told to whoever asks for maps; the picture is the pipeline's
        self.recorder.restart()
        if run.steps:
            self.finished.append(run)

    def _start(self, network: Any) -> None:
        self.finish()
        check_processors(network)
        self.run = Run()
        self._thread = threading.get_ident()
        self._last, self._first = (None, None), None

    def _begins(self, given: Mapping[str, Any]) -> bool:
        """Whether this call of the network is the first of a run: after an encoding; where nothing is encoded, when there is more noise
        than in the call before."""
        level = given.get("timestep", given.get("t"))
        if self._encoded or level is None:
            return self.run is None or threading.get_ident() in self._fresh
        level = float(torch.as_tensor(level).flatten()[0])
        before = self._levels
        if self.run is None or (len(before) == 2 and (level - before[1]) * (before[1] - before[0]) < 0):
            self._levels = [level]
            return True
        if level != before[-1]:
            self._levels = [before[-1], level]
        return False

    def _choose(self, states: Any, batch: int) -> Sequence[int] | None:
        """The rows with the prompt; None: this call has none."""
        if states is not None and states is self._last[0]:
            return self._last[1]
        fresh = self._fresh.pop(threading.get_ident(), [])
        if fresh:
            self._read = None
            if states is not None:
                self._read = self._known_by(fresh, states)
            self._count = len((self._read or fresh[0]).rows)
        self._count = self._count or len(self.prompts) or batch
        rows = self._rows(states, batch)
        self._last = states, rows
        return rows

    def _known_by(self, fresh: Sequence[Encoded], states: Any) -> Encoded | None:
        """What holds the prompt, of all that was encoded before a run's first call of the network; None: nothing that it was given.

        Raises UserError where texts were encoded apart, and neither their place in the batch nor their order says which is the prompt.
        """
        by_source = sorted(fresh, key=lambda encoded: bool(encoded.texts))  # what was given goes before what was encoded
        there = [encoded for encoded in by_source if encoded.find(states)]
        apart = [encoded for encoded in fresh if encoded.texts and not encoded.others]
        if not there:
            return next((encoded for encoded in by_source if _find(encoded.others, states)), None)
        if not there[0].texts or there[0].others or len(apart) < 2:
            return there[0]
        wanted = _plain(self.prompts)
        if wanted and (named := next((encoded for encoded in apart if _plain(encoded.texts.get("prompt", ())) == wanted), None)):
            return named
        family = self.recorder.family
        if len(there) > 1:  # halves of a batch; a shorter text may be the beginning of a longer one
            row = states[0 if family.conditional == "first half" else -1]
            return max((encoded for encoded in there if encoded.find([row])), key=lambda encoded: len(encoded.rows[0]), default=there[0])
        if there[0] is apart[0] and (family.conditional == "first call" or family.distilled):
            return there[0]
        raise UserError(
            f"texts were encoded apart, and the first call of the network has {shown(there[0].texts.get('prompt'))}: whether that is the "
            "prompt is not known; name it, capture(pipe, prompts='…')"
        )

    def _rows(self, states: Any, batch: int) -> Sequence[int] | None:
        if self._read is not None:
            matched = sorted(self._read.find(states))
            if not matched:
                return None  # another text: without the prompt, or one that a callback put in its place
            several = isinstance(states, list) and len(matched) % self._count == 0  # images of a prompt are made of its states afterwards
            if len(matched) <= self._count or several:
                return range(matched[0], matched[-1] + 1) if matched[-1] - matched[0] == len(matched) - 1 else matched
        return self._by_position(states, batch)

    def _by_position(self, states: Any, batch: int) -> Sequence[int] | None:
        """By the order in which diffusers' pipelines have it."""
        count, conditional = self._count, self.recorder.family.conditional
        if batch == count:
            if self._first is None:
                self._first = states
            return range(batch) if states is None or len(_find(list(self._first), states)) == batch else None
        if batch == 2 * count:
            return range(count) if conditional == "first half" else range(count, batch)
        if batch == 3 * count:
            return range(count)  # InstructPix2Pix: text and picture, picture alone, neither
        raise UserError(f"the network was given a batch of {batch} for {count} prompts: which of it has the prompt is not known")

    def _texts(self, rows: Sequence[int], states: Any) -> list[Texts]:
        """Of each image."""
        read = self._read
        if read is None:
            return [_shared(self.prompts, number, len(rows)) for number in range(len(rows))]
        found = read.find([states[row] for row in rows])
        if not read.texts:
            same = (other for other in self._encoded if other.texts and len(other.rows) == len(read.rows))
            read = next((other for other in same if len(other.find(read.rows)) == len(read.rows)), read)
        if not read.texts:
            return [_shared(self.prompts, number, len(rows)) for number in range(len(rows))]
        return [read.text(found.get(number, number)) for number in range(len(rows))]


def _conditional(rows: list[Any], count: int) -> list[Any]:
    """Those of `count` prompts among rows of a batch under guidance: the first third, as of InstructPix2Pix, or the second half."""
    return rows[:count] if len(rows) == 3 * count else rows[-count:]


def _plain(texts: Sequence[str]) -> list[str]:
    return [text.strip().casefold() for text in texts]


def _shared(prompts: Sequence[str], number: int, images: int) -> Texts:
    """The text of an image where there are as many prompts as images, or a part of that."""
    if not prompts:
        return {}
    if images % len(prompts):
        raise UserError(f"prompts: {len(prompts)} were given, but {images} images are drawn together; give one for each, or one for all")
    return {"prompt": prompts[number * len(prompts) // images]}


def _texts(given: Any) -> list[str]:
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given)


@lru_cache(maxsize=8)
def _parameters(kind: type) -> inspect.Signature:
    return inspect.signature(kind.forward)


def _bound(network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call of the network, by name."""
    names = list(_parameters(type(network)).parameters)[1:]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _pictures(output: Any) -> list[np.ndarray]:
    """Pictures (H, W, 3) uint8 of what a pipeline returns; none of latents."""
    if torch.is_tensor(output):
        if output.ndim != 4 or output.shape[1] != 3:
            return []
        output = output.detach().float().cpu().permute(0, 2, 3, 1).numpy()
    if isinstance(output, np.ndarray):
        return [(image * 255).round().astype(np.uint8) for image in output] if output.ndim == 4 and output.shape[3] == 3 else []
    return [np.asarray(image.convert("RGB")) for image in output if hasattr(image, "convert")]


class Heard:
    """A method of an object that is heard: called in its place, it calls it and tells `tell` of it."""

    def __init__(self, method: Callable[..., Any], tell: Callable[[Mapping[str, Any], Any], None]) -> None:
        update_wrapper(self, method)
        self.method, self.tell = method, tell

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(self.method).bind(*args, **kwargs)
        given.apply_defaults()
        before = {name: list(value) if isinstance(value, list) else value for name, value in given.arguments.items()}
        output = self.method(*args, **kwargs)  # which may change the list of prompts (Z-Image writes its template into it)
        self.tell(before, output)
        return output
