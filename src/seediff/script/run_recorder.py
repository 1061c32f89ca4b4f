"""`RunRecorder`: records one run, which is one call of the pipeline, or the whole block around a network alone.

network(inputs) ─▶ RunRecorder.record ─▶ TextRecording.find ─▶ the rows with the text
                                      ─▶ TextRecording.record ─▶ AttentionRecorder.begin_call, with these rows
the run ends    ─▶ RunRecorder.close ─▶ TextRecording.close ─▶ Attention to the text of each picture
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

import numpy as np
import torch

from ..attention.networks import check_processors, find_networks
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..masks.clips import frame_weights
from ..models.families.family import Family, named_inputs
from .encodings import STATES, Encodings, NamedText, listed
from .placement import Placing
from .run import Attention, Picture, ReadText, Run, TextKind, returned_images
from .run_checks import check_memory, check_timesteps, warn_of_other_texts
from .which_rows import Encoded, find_rows

THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer, states=prompt_embeds)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""
KNOWN_CALLS = 3
"""For how many calls of the network the rows are remembered. The next step's calls may have the same states."""


@dataclass(frozen=True)
class Block:
    """What a `with` block captures."""

    pipe: Any
    """The pipeline; None: a network alone."""
    family: Family
    networks: Sequence[Any]
    named: NamedText
    """What the script says of the text."""
    recorders: Mapping[TextKind, AttentionRecorder]
    """They record attention to the prompts and, if it is captured, to the negative prompts."""
    runs: list[Run] = field(default_factory=list)
    """The runs that have ended."""

    def restart(self) -> None:
        """Free the maps that are being recorded, and forget errors."""
        for recorder in self.recorders.values():
            recorder.restart()


class TextRecording:
    """Records attention to one text of each picture during one run: to the prompt, or to the negative prompt.

    recorder: records attention, and keeps the first error, after which it records nothing.
    """

    def __init__(self, recorder: AttentionRecorder) -> None:
        self.recorder = recorder
        self.encoded = Encoded((), rule="any")
        """The texts whose rows are recorded; without any text until they are known."""
        self.texts: list[ReadText] = []
        """The text of each picture, once a call of the network had it."""
        self.steps = 0
        """How often the network was called with the text."""
        self.attention: list[Attention] = []
        """After `close`, the attention of each picture, or of each frame."""
        self.map_bytes = 0
        """Bytes of all maps in `attention`."""
        self._known: list[tuple[Any, list[int], dict[int, int]]] = []
        """(states, their versions, rows) of the last KNOWN_CALLS calls of the network."""

    @contextmanager
    def keeping_refusals(self) -> Iterator[None]:
        """Inside the `with` block, keep a UserError, which is raised where this text's maps are requested."""
        try:
            yield
        except UserError as error:
            self.recorder.error = self.recorder.error or error

    def find(self, states: Any) -> dict[int, int]:
        """Row → the number of its text, as `find_rows` returns it for a call of the network. states: the text state of
        each row. States of one of the last calls are not compared again: that would wait for the GPU."""
        # A version counts how often a tensor was changed in place; PyTorch does not count in `inference_mode`.
        versions = [one._version for one in states if not one.is_inference()]
        for known, of_known, rows in self._known:
            if known is states and of_known == versions:
                return rows
        rows = find_rows(self.encoded, states, was_seen=bool(self.texts))
        self._known = [(states, versions, rows), *self._known[: KNOWN_CALLS - 1]]
        return rows

    def record(self, rows: Mapping[int, int], states: Any, *call_of_network: Any) -> None:
        """Record these rows of a call of the network, which runs next; nothing if there are no rows. states: the text
        state of each row. call_of_network: the network, its arguments and its keyword arguments."""
        if not rows:
            return
        if not self.texts:
            for row, text in rows.items():
                self.texts.append(ReadText(self.encoded.texts_of(text), len(states[row])))
        numbers: Sequence[int] = [*rows]
        if len(numbers) == numbers[-1] + 1 - numbers[0]:
            numbers = range(numbers[0], numbers[-1] + 1)  # capture takes a range of rows without a copy
        self.recorder.begin_call(*call_of_network, rows=numbers)
        self.steps += 1

    def close(self, frames: int) -> None:
        """Make `attention` from what was recorded. frames: the number of frames of each clip. A frame has the attention
        of its clip's nearest latent frame. Raises UserError for the kept error, and for attention that was not a
        number."""
        latents = self.recorder.calls.latest.frames
        prompts = [text.prompt for text, _ in product(self.texts, range(latents))]
        try:
            maps = [each.cpu() for each in self.recorder.maps([{}] * len(prompts), prompts)]
        except UserError as error:
            if error.subject != "dtype":  # attention that is not a number
                raise
            raise UserError("the network", error.problem, "pipe.to(torch.float32), or torch.bfloat16, first") from error
        apart = [{name: each.cpu() for name, each in of.items()} for of in self.recorder.maps_apart(prompts)]
        every = chain.from_iterable(each.tensors() for each in chain(maps, *(each.values() for each in apart)))
        self.map_bytes = sum(tensor.nbytes for *_, tensor in every)
        columns = next((each.shape[1] for each in maps[0].cross_attention.values()), 0)
        self.texts = [text._replace(columns=columns) for text in self.texts]
        for clip, latent in product(range(len(self.texts)), frame_weights(frames, latents).argmax(1)):
            number = clip * latents + latent
            self.attention.append(Attention(self.texts[clip], maps[number], apart[number]))


class RunRecorder:
    """Records one run. arguments: the arguments of the pipeline's call, by name.

    What happens to errors of capture: a UserError before the first step ends the pipeline's call. After any other
    error the pipeline goes on: the prompt's recorder keeps the error, one warning reports it, and it is raised where
    maps are requested. A UserError about the negative prompt alone is kept without a warning, by the negative prompt's
    recorder.
    """

    def __init__(self, block: Block, arguments: Mapping[str, Any]) -> None:
        block.restart()
        self.block, self.arguments = block, arguments
        self.encodings = Encodings(block.family, block.pipe, block.named, arguments)
        self.recordings: dict[TextKind, TextRecording] = {
            kind: TextRecording(recorder) for kind, recorder in block.recorders.items()
        }
        self.prompt = self.recordings["prompt"]
        self.negative = self.recordings.get("negative")
        self.placing = Placing(must_crop=arguments.get("padding_mask_crop") is not None)
        self._timesteps: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        """For calls of the network with the prompt (True) and without it (False): the timestep of each call, (1,). They
        are compared when the run ends, because that waits for the GPU."""
        self._has_ended = False
        self._thread = threading.get_ident()

    @property
    def is_here(self) -> bool:
        """Whether this thread began the run."""
        return self._thread == threading.get_ident()

    def check_thread(self) -> None:
        """Raise UserError in another thread than the run's."""
        if not self.is_here:
            raise UserError(
                "two threads use a captured pipeline at once: let them take turns, or give each its own pipeline"
            )

    @contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """Inside the `with` block, raise or keep errors of capture, as the class says."""
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) and not self.prompt.steps and not self._has_ended:
                raise
            self.prompt.recorder.fail(error, "the network's call")

    # While the pipeline draws

    def encode_negative(self) -> None:
        """Encode the negative prompt as the pipeline encodes prompts, because words are located as in prompts."""
        if self.negative is None:
            return
        texts = listed(self.arguments.get("negative_prompt"))
        with self.negative.keeping_refusals():
            if not any(texts):
                problem = "is empty, or was not given as a text"
                raise UserError("negative_prompt", problem, "give the pipeline negative_prompt='…'")
            self.negative.encoded = Encoded(self.encodings.encode(texts), {"prompt": texts}, rule="any")

    def record(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Record a call of the network, which runs next: its rows with the prompt, and with the negative prompt. args,
        kwargs: the call's arguments."""
        # 1. What the call is given
        block, family, inputs = self.block, self.block.family, named_inputs(network, args, kwargs)
        if inputs.get("skip_layers") is not None:  # a further prediction of SD 3's
            return
        states, frames = _first_of(inputs, STATES), family.frames(inputs)
        if states is None:
            raise UserError("the network was given no text")
        if family.frames_in_rows:
            states = states[::frames]  # one row for each clip

        # 2. Which rows have the prompt, and whether their maps can be had
        prompt, is_first = self.prompt, not self.prompt.steps
        if is_first:
            prompt.encoded = self.encodings.choose(states)
        rows = prompt.find(states)
        if rows and is_first:
            check_processors(network)
        grows = block.pipe is None and prompt.recorder.apart == "step"  # how many steps will come is unknown
        if rows and (is_first or grows):
            earlier = prompt.recorder.running.map_bytes + sum(run.map_bytes for run in block.runs)
            size, device = family.lattice(network, inputs)[1:], states[0].device  # weights may be offloaded
            check_memory(block.pipe, block.recorders.values(), size, len(rows) * frames, device, earlier)

        # 3. Record them
        prompt.record(rows, states, network, args, kwargs)
        if self.negative is not None:
            with self.negative.keeping_refusals():
                self.negative.record(self.negative.find(states), states, network, args, kwargs)
        timestep = _first_of(inputs, ("timestep", "t"))
        if timestep is not None:
            self._timesteps[bool(rows)].append(torch.as_tensor(timestep).detach().flatten()[:1].clone())

    # When the pipeline has drawn

    def close(self, output: Any) -> Run | None:
        """End the run, and return what was drawn; None if nothing was. output: what the pipeline returned."""
        self._has_ended = True
        prompt, negative, images = self.prompt, self.negative, list[np.ndarray]()

        # 1. The pictures, and their texts
        with self.keeping_errors():
            if self.arguments.get("output_type") != "latent":
                images = returned_images(output)
        if not prompt.texts:  # no call of the network was recorded
            count = len(images) if self.block.pipe is not None else int(self.block.named.states is not None)
            prompt.texts = [ReadText({})] * count
        clips, frames = len(prompt.texts), 1  # an image is a clip of one frame
        if not clips:
            return None
        if self.block.family.frames_dimension:
            frames = len(images) // clips or prompt.recorder.calls.latest.frames

        # 2. Attention to the prompts, and to the negative prompts
        with self.keeping_errors():
            if prompt.recorder.error is None:
                self._check(len(images))
                prompt.close(frames)
                if negative is not None:
                    with negative.keeping_refusals():
                        self._check_negative()
                        negative.close(frames)

        # 3. One record for each picture, or for each frame
        pictures: list[Picture] = []
        for number in range(clips * frames):
            outcomes: dict[TextKind, Attention | UserError] = {}
            for kind, recording in self.recordings.items():
                outcomes[kind] = prompt.recorder.error or recording.recorder.error or recording.attention[number]
            pixels = images[number] if number < len(images) else None  # not all may be returned
            pictures.append(Picture(prompt.texts[number // frames], outcomes, pixels, self.placing))
        held = sum(recording.map_bytes for recording in self.recordings.values())
        return Run(pictures, frames, prompt.steps, held)

    def _check(self, images: int) -> None:
        """Raise UserError if the maps may not be the pictures'. images: how many the pipeline returned."""
        block, prompt = self.block, self.prompt
        if not prompt.steps:
            raise self._explain_nothing()
        if prompt.recorder.graphs is not None:
            prompt.recorder.graphs.check_unchanged()
        with_prompt, without = self._timesteps[True], self._timesteps[False]
        if with_prompt and block.pipe is not None:  # the scheduler of a loop of one's own is unknown
            check_timesteps(getattr(block.pipe, "scheduler", None), torch.cat(with_prompt).cpu())
        warn_of_other_texts([each.item() for each in with_prompt], [each.item() for each in without])
        clips, rest = divmod(images, len(prompt.texts))
        if rest or (clips > 1 and not block.family.frames_dimension):
            problem = f"the pipeline returned {images}, and {len(prompt.texts)} rows of a batch had the prompt"
            raise UserError("pictures", problem, "which rows draw them is unknown: draw one at a time")

    def _explain_nothing(self) -> UserError:
        """The error that says why no call of the network was recorded, although pictures were drawn."""
        block = self.block
        if block.named.states is not None:
            return UserError("states", "no call of the network was given them", "name the states that it is given")
        if find_networks(block.pipe)[0][0] is not block.networks[0]:
            problem = "the pipeline's network was replaced inside of the `with` block"
            return UserError(problem, fix="open a new `with` block after that")
        return UserError("the pipeline returned pictures, but its network was never given the prompt", fix=THE_WAY)

    def _check_negative(self) -> None:
        """Raise UserError unless each picture had a row with the negative prompt."""
        images = [recording.recorder.calls.latest.images for recording in self.recordings.values()]
        if len(set(images)) > 1:
            problem = "no row of the network's batches has it, encoded as prompts are, for each picture"
            raise UserError("negative_prompt", problem, "models that draw without guidance read none")


def _first_of(inputs: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of these inputs that is given, or None."""
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)
