"""Follows the calls of a pipeline: which rows of each batch of its network have the prompt, and which text that is.

A run is one call of the pipeline. What the call encodes before its first step is remembered. The rows of a batch that
equal the prompt's are recorded, wherever they are: in a half of the batch under guidance, in a third (InstructPix2Pix),
in a call of their own, or alone where guidance is skipped. If the network is given nothing of that, rows are chosen by
their position, as they are for a network without a pipeline, whose run is the whole block.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps
from ..attention.networks import check_processors
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..files.image_files import on_white
from ..masks.clips import frame_weights
from ..models.families.family import named_inputs

Texts = Mapping[str, str]
"""The texts of one image, by the pipeline's arguments: {"prompt": …, "prompt_2": …}."""
INSTRUCTION = "complex_human_instruction"
"""Sana's argument with the text that comes before the prompt."""
ENCODE = ("encode_prompt", "_encode_prompt")
"""Names of the method of pipelines that encodes prompts; the first that is there is used."""
THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""


@dataclass(frozen=True)
class EncodedPrompt:
    """The result of one encoding of prompts. rows: R states (T, D) for the network. texts: argument of the pipeline →
    its texts; empty if embeddings were given instead. others: further states in the result, those of negative prompts.
    """

    rows: Sequence[torch.Tensor]
    texts: Mapping[str, Sequence[str]]
    others: Sequence[torch.Tensor] = ()


def _find(rows: Sequence[torch.Tensor], states: Sequence[torch.Tensor]) -> dict[int, int]:
    """Index of a state → index of the first row that equals it, for states that have one."""
    if not rows or states is None:
        return {}
    equal = torch.stack([_equal(row, state) for state, row in product(states, rows)])
    table = equal.view(-1, len(rows)).tolist()  # waits for a GPU once
    return {number: line.index(True) for number, line in enumerate(table) if any(line)}


def _equal(row: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Whether both are equal in the columns that both have, as padding may be cut off: a scalar where `state` is."""
    if row.ndim != state.ndim or row.shape[-1] != state.shape[-1]:
        return state.new_zeros((), dtype=torch.bool)
    columns = min(row.shape[0], state.shape[0])
    return (row[:columns].to(state) == state[:columns]).all()


@dataclass
class Run:
    """What one call of the pipeline drew. maps, texts: of each image; no texts if only its encoded text is known.
    steps: calls of the network with the prompt. images: (H, W, 3) uint8 each, as the pipeline returned them, if it
    did. error: to raise when maps are requested. frames: of each clip; 0: it drew images."""

    maps: list[AttentionMaps] = field(default_factory=list)
    texts: list[Texts] = field(default_factory=list)
    steps: int = 0
    images: list[np.ndarray] = field(default_factory=list)
    error: UserError | None = None
    frames: int = 0

    @property
    def count(self) -> int:
        return len(self.texts)

    def show_frames(self, latents: int) -> None:
        """Give each frame of the clips the text of its clip, and the maps of the nearest of its latent frames."""
        clips = len(self.texts)
        self.frames = len(self.images) // clips or latents
        near = list(product(range(clips), frame_weights(self.frames, latents).argmax(1)))
        self.texts = [self.texts[clip] for clip, _ in near]
        self.maps = [self.maps[clip * latents + latent] for clip, latent in near if self.maps]


@dataclass
class Call:
    """A call of the pipeline that is under way, or the block around a network alone.

    thread, prompts: the call's own. encoded: what it encoded before its first step. read: the encoding whose rows the
    network was given, if any. last: the text states of the network's last call, and the rows with the prompt. first:
    the states of its first, where rows are chosen by position.
    """

    thread: int = field(default_factory=threading.get_ident)
    prompts: Sequence[str] = ()
    run: Run = field(default_factory=Run)
    encoded: list[EncodedPrompt] = field(default_factory=list)
    read: EncodedPrompt | None = None
    last: tuple[Any, Sequence[int] | None] = (None, None)
    first: Any = None

    def check_thread(self) -> None:
        if self.thread != threading.get_ident():
            raise UserError(
                "two threads use a captured pipeline at once: let them take turns, or give each its own pipeline"
            )


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
        self.call: Call | None = None
        self.passed_over = False
        """Whether the network ran outside of the pipeline's calls."""
        self._encoded_outside = False
        """Whether the pipeline encoded a text outside of its calls, since the last one."""

    @property
    def held(self) -> int:
        """Bytes of the maps of finished runs."""
        maps = {id(one): one for one in chain.from_iterable(run.maps for run in self.finished)}  # frames share some
        return sum(tensor.nbytes for *_, tensor in chain.from_iterable(one.tensors() for one in maps.values()))

    # What the pipeline does

    @contextmanager
    def follow(self, prompts: str | Sequence[str] | None) -> Iterator[Run]:
        """Follow one call of the pipeline, with these prompts. A call that an error ends is no run."""
        if self.call is not None:
            self.call.check_thread()
            if self.call.run.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        call = self.call = Call(prompts=_listed(prompts))
        self._encoded_outside = False
        try:
            yield call.run
        except BaseException:
            self.call = None
            self.recorder.restart()
            raise
        self.finish()

    def note_encoding(self, given: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `encode_prompt`. given: its arguments by name."""
        call = self.call
        if call is None or call.thread != threading.get_ident():
            self._encoded_outside = True
            return
        rows, *beside = output if isinstance(output, tuple) else (output,)
        if rows is None or call.run.steps:  # a text that a callback encodes is not the prompt
            return
        prompts = {name: _listed(given.get(name)) for name in ("prompt", "prompt_2", "prompt_3")}
        texts = {name: text for name, text in prompts.items() if text}
        clean = getattr(self.pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=given.get("clean_caption", False))
        if texts and INSTRUCTION in given:
            texts[INSTRUCTION] = ["\n".join(given[INSTRUCTION] or ())]
        if not isinstance(output, tuple) and given.get("do_classifier_free_guidance"):
            count = len(texts["prompt"] if texts else given["prompt_embeds"])
            count *= int(given.get("num_images_per_prompt") or 1)
            # The first third, as for InstructPix2Pix, or the second half.
            rows = rows[:count] if len(rows) == 3 * count else rows[-count:]
        states = [part for part in beside if isinstance(part, list) or (torch.is_tensor(part) and part.ndim == 3)]
        call.encoded.append(EncodedPrompt(list(rows), texts, list(chain.from_iterable(states))))

    # What the network is given

    def begin(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides which rows of this call are recorded."""
        call = self.call
        if call is None and self.pipe is not None:
            if self._encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.passed_over = True  # another pipeline with the same network
            self.recorder.pass_over()
            return
        if call is None:
            call = self.call = Call()
        call.check_thread()

        # 1. The rows with the prompt
        given = named_inputs(network, args, kwargs)
        named = (given.get(name) for name in ("encoder_hidden_states", "cap_feats", "text_bth"))
        states = next((value for value in named if value is not None), None)
        family = self.recorder.family
        batch, height, width = family.lattice(network, given)
        frames = family.frames(given)
        if family.frames_in_rows and states is not None:
            states = states[::frames]  # one row for each clip
        if given.get("skip_layers") is not None:
            rows = None
        elif states is not None and states is call.last[0]:
            rows = call.last[1]
        else:
            rows = self._choose(call, states, batch)
            call.last = states, rows
        if rows is None:
            self.recorder.pass_over()
            return

        # 2. What holds for the whole run
        run = call.run
        if not run.texts:
            check_processors(network)
            run.texts = self._texts(call, rows, states)
            tensor = next(network.parameters()) if states is None else states[0]  # weights may be offloaded
            self.check((height, width), len(rows) * frames, tensor.device, self.held)
        self.recorder.rows = rows
        self.recorder.start_step(network, args, kwargs)
        run.steps += 1

    def finish(self) -> None:
        """End the current call, if any, and move its run's maps to the CPU."""
        call, self.call = self.call, None
        if call is None or not call.run.steps:
            return
        run = call.run
        try:
            texts = [text.get("prompt", "") for text, _ in product(run.texts, range(self.recorder.frames))]
            run.maps = [maps.cpu() for maps in self.recorder.maps([{}] * len(texts), texts)]
        except UserError as error:
            # attention that is not a number: raised when maps are requested, because the picture is unaffected
            run.error = error
            if error.subject == "dtype":
                run.error = UserError("the network", error.problem, "pipe.to(torch.float32), or torch.bfloat16, first")
        if self.recorder.family.frames_at:
            run.show_frames(self.recorder.frames)
        self.recorder.restart()
        self.finished.append(run)

    def results(self) -> list[Run]:
        """The finished runs; that of a network alone ends where they are asked for."""
        if self.pipe is None:
            self.finish()
        return self.finished

    def _choose(self, call: Call, states: Any, batch: int) -> Sequence[int] | None:
        """The rows that equal the prompt's; without such, those at the usual place in diffusers' pipelines. None if
        this call of the network has none."""
        prompt = self._prompt(call)
        count = len(self.prompts) or batch  # without an encoding, each batch counts for itself
        if prompt is not None:
            count = len(prompt.rows)
            matched = sorted(_find(prompt.rows, states))
            if matched:
                call.read = prompt
            elif call.read is not None or self._is_beside(call, prompt, states):
                return None  # the call without the prompt, or with a text that a callback put in its place
            # A list has a prompt's states once, which are repeated for its images later.
            if matched and (len(matched) <= count or (isinstance(states, list) and len(matched) % count == 0)):
                whole = range(matched[0], matched[-1] + 1)
                return whole if len(whole) == len(matched) else matched

        # By position
        if batch == count:
            if call.first is None:
                call.first = states
            return range(batch) if states is None or len(_find(list(call.first), states)) == batch else None
        if batch == 2 * count:
            first = self.recorder.family.conditional == "first half"
            return range(count) if first else range(count, batch)
        if batch == 3 * count:
            return range(count)  # InstructPix2Pix: text and picture, picture alone, neither
        raise UserError(
            f"the network was given a batch of {batch} for {count} prompts: it is not known which belong to them"
        )

    def _prompt(self, call: Call) -> EncodedPrompt | None:
        """The encoding with the prompt, if the call encoded any. Raises UserError if it encoded several texts apart,
        and none of them is the call's prompt, nor named."""
        if len(call.encoded) < 2:
            return call.encoded[0] if call.encoded else None
        for wanted in (call.prompts, self.prompts):
            for encoded in call.encoded:
                if list(encoded.texts.get("prompt", ())) == list(wanted):
                    return encoded
        problem = "several texts were encoded, and none is the call's prompt"
        raise UserError(problem, fix="name it, capture(pipe, prompt='…')")

    def _is_beside(self, call: Call, prompt: EncodedPrompt, states: Any) -> bool:
        """Whether the network was given only what was encoded beside the prompt."""
        others: list[torch.Tensor] = []
        for encoded in call.encoded:
            others += encoded.others if encoded is prompt else [*encoded.rows, *encoded.others]
        return states is not None and len(_find(others, states)) == len(states)

    def _texts(self, call: Call, rows: Sequence[int], states: Any) -> list[Texts]:
        """The texts of each image, in the order of the prompts, each repeated for each of its images."""
        images = len(rows)
        if call.read is not None and call.read.texts:
            found = _find(call.read.rows, [states[row] for row in rows])
            count = len(call.read.rows)
            return [_spread(call.read.texts, found.get(number, number), count) for number in range(images)]
        if self.prompts and images % len(self.prompts):
            problem = f"{len(self.prompts)} texts were given, but {images} images are drawn together"
            raise UserError("prompt", problem, "give one for each, or one for all")
        given = {"prompt": self.prompts} if self.prompts else {}
        return [_spread(given, number, images) for number in range(images)]


def _spread(texts: Mapping[str, Sequence[str]], number: int, count: int) -> Texts:
    """The texts of one of `count` rows, from fewer texts that have equally many rows each."""
    return {name: given[number * len(given) // count] for name, given in texts.items()}


def _listed(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def returned_images(output: Any) -> list[np.ndarray]:
    """The pictures (H, W, 3) uint8 in what a pipeline returns, on white; none for latents."""
    images: Any = getattr(output, "images", getattr(output, "frames", output))
    if isinstance(images, tuple) and images:
        images = images[0]
    if isinstance(images, np.ndarray | torch.Tensor) and images.ndim == 5:  # clips
        images = images.reshape(-1, *images.shape[2:])
    if isinstance(images, list) and images and isinstance(images[0], list):
        images = list(chain.from_iterable(images))
    if torch.is_tensor(images) and images.ndim == 4:  # (B, 3, H, W); numpy has no bfloat16
        images = images.detach().movedim(1, -1).cpu()
        images = (images.float() if images.is_floating_point() else images).numpy()
    if isinstance(images, np.ndarray):
        if images.ndim != 4 or images.shape[3] not in (3, 4):
            return []
        eight_bits = images if images.dtype == np.uint8 else (images * 255).round().astype(np.uint8)
        images = list(map(Image.fromarray, eight_bits))
    listed: list[Any] = images if isinstance(images, list) else [images]
    return [np.array(on_white(one)) for one in listed if hasattr(one, "convert")]
