"""`RunRecorder`: records one run, which is one call of the pipeline, or the whole block around a network alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ..attention.networks import check_processors, find_networks
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..models.families.family import Family, named_inputs
from .encodings import STATES, Encodings, NamedText, listed
from .memory import check_memory
from .recording import TextRecording
from .run import Attention, Picture, ReadText, Run
from .timesteps import Timesteps
from .what_size import Placing, returned_images
from .which_rows import Encoded, Rows

THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer, states=prompt_embeds)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""

Outcomes = Sequence[Attention | UserError]
"""Attention to a text of each picture; in place of each that has none, why."""


@dataclass(frozen=True)
class Block:
    """What a `with` block captures."""

    pipe: Any
    """The pipeline; None: a network alone."""
    family: Family
    networks: Sequence[Any]
    named: NamedText
    """What the script says of the text."""
    recorders: Sequence[AttentionRecorder]
    """They record attention to the prompts, and, if it is captured, to the negative prompts."""
    runs: list[Run] = field(default_factory=list)
    """The runs that have ended."""

    def restart(self) -> None:
        """Free the running maps, and forget errors."""
        for recorder in self.recorders:
            recorder.restart()


class RunRecorder:
    """Records one run. arguments: the arguments of the pipeline's call, by name.

    Errors of capture: a UserError before the first step ends the pipeline's call. Any other error ends no drawing: the
    recorder of the prompt keeps it and reports it once in a warning, and it is raised where maps are requested. What
    is wrong with the negative prompt alone is kept, without a warning, by the recorder of the negative prompt.
    """

    def __init__(self, block: Block, arguments: Mapping[str, Any]) -> None:
        block.restart()
        self.block, self.arguments = block, arguments
        self.encodings = Encodings(block.family, block.pipe, block.named, arguments)
        self.recordings = [TextRecording(recorder) for recorder in block.recorders]
        """Of the prompts, and, if it is captured, of the negative prompts."""
        self.prompt = self.recordings[0]
        self.placing = Placing(must_crop=arguments.get("padding_mask_crop") is not None)
        self._timesteps = Timesteps()
        self._has_ended = False
        self._thread = threading.get_ident()

    @property
    def is_here(self) -> bool:
        """Whether the run is one of this thread."""
        return self._thread == threading.get_ident()

    def check_thread(self) -> None:
        """Raise UserError in another thread."""
        if not self.is_here:
            raise UserError(
                "two threads use a captured pipeline at once: let them take turns, or give each its own pipeline"
            )

    @contextmanager
    def keeping_errors(self) -> Iterator[None]:
        """Do with errors of capture in this `with` block as the class says."""
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) and not self.prompt.steps and not self._has_ended:
                raise
            self.prompt.recorder.fail(error, "the network's call")

    # While the pipeline draws

    def encode_negative(self) -> None:
        """Encode the negative prompt as the pipeline encodes prompts, because words are located as in prompts."""
        texts = listed(self.arguments.get("negative_prompt"))
        for negative in self.recordings[1:]:
            try:
                if not any(texts):
                    problem = "is empty, or was not given as a text"
                    raise UserError("negative_prompt", problem, "give the pipeline negative_prompt='…'")
                negative.encoded = Encoded(self.encodings.encode(texts), {"prompt": texts}, rule="any")
            except UserError as error:
                negative.recorder.error = error

    def record(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Record what a call of the network has of the prompt and of the negative prompt."""
        block, family, inputs = self.block, self.block.family, named_inputs(network, args, kwargs)
        if inputs.get("skip_layers") is not None:  # a further prediction of SD 3's
            return
        states, frames = _first_of(inputs, STATES), family.frames(inputs)
        if states is None:
            raise UserError("the network was given no text")
        if family.frames_in_rows:
            states = states[::frames]  # one row for each clip
        if not self.prompt.texts:
            self.prompt.encoded = self.encodings.choose(states)
        found = [self.prompt.find(states, inputs)]
        for negative in self.recordings[1:]:
            try:
                found.append(negative.find(states, inputs))
            except UserError as error:
                negative.recorder.error = negative.recorder.error or error
                found.append(Rows())
        pictures = len(found[0].numbers) * frames
        if pictures and not self.prompt.steps:
            check_processors(network)
        recorder = self.prompt.recorder
        grows = block.pipe is None and recorder.apart == "step"  # how many steps will come is unknown
        if pictures and (grows or not self.prompt.steps):
            size = family.lattice(network, inputs)[1:]
            earlier = recorder.running.map_bytes + sum(run.map_bytes for run in block.runs)
            device = states[0].device  # weights may be offloaded
            check_memory(block.pipe, block.recorders, size, pictures, device, earlier)
        for recording, rows in zip(self.recordings, found, strict=True):
            recording.record(rows, states, network, args, kwargs)
        timestep = _first_of(inputs, ("timestep", "t"))
        if timestep is not None:
            self._timesteps.note(timestep, has_prompt=bool(pictures))

    # When the pipeline has drawn

    def close(self, output: Any) -> Run | None:
        """What was drawn; None: nothing. output: what the pipeline returned."""
        self._has_ended = True
        recorder, images = self.prompt.recorder, list[np.ndarray]()

        # 1. The pictures, and their texts
        with self.keeping_errors():
            if self.arguments.get("output_type") != "latent":
                images = returned_images(output)
        if not self.prompt.texts:
            self.prompt.texts = self._name_pictures(len(images))
        clips, frames = len(self.prompt.texts), 1  # an image is a clip of one frame
        if not clips:
            return None
        if self.block.family.frames_dimension:
            frames = len(images) // clips or recorder.calls.latest.frames
        count = clips * frames

        # 2. Attention to the prompts, and to the negative prompts
        prompts: Outcomes = ()
        negatives: Outcomes = ()
        with self.keeping_errors():
            if recorder.error is None:
                self._check(len(images))
                prompts, negatives = self.prompt.close(frames), self._close_negative(frames, count)
        if recorder.error is not None:
            prompts = negatives = [recorder.error] * count

        # 3. One record for each picture, or for each frame
        texts = [text for text, _ in product(self.prompt.texts, range(frames))]
        every = zip(texts, prompts, negatives, [*images, *[None] * count], strict=False)  # not all may be returned
        pictures = [Picture(text, prompt, negative, pixels, self.placing) for text, prompt, negative, pixels in every]
        held = sum(recording.map_bytes for recording in self.recordings)
        return Run(pictures, frames, self.prompt.steps, held)

    def _name_pictures(self, images: int) -> list[ReadText]:
        """The texts of pictures that were drawn without a recorded call of the network."""
        count = images if self.block.pipe is not None else int(self.block.named.states is not None)
        prompts = listed(self.arguments.get("prompt")) or list(self.block.named.prompts) or [""]
        return [ReadText({"prompt": prompts[number * len(prompts) // count]}) for number in range(count)]

    def _check(self, images: int) -> None:
        """Raise UserError if the maps may not be the pictures'. images: how many the pipeline returned."""
        block, prompt = self.block, self.prompt
        if not prompt.steps:
            raise self._explain_nothing()
        if prompt.recorder.graphs is not None:
            prompt.recorder.graphs.check_unchanged()
        if block.pipe is not None:  # the scheduler of a loop of one's own is unknown
            in_other_calls = prompt.encoded.is_negative_too and not prompt.are_twice
            self._timesteps.check(getattr(block.pipe, "scheduler", None), is_negative_too=in_other_calls)
        self._timesteps.warn_of_other_texts()
        clips, rest = divmod(images, len(prompt.texts))
        if rest or (clips > 1 and not block.family.frames_dimension):
            problem = f"the pipeline returned {images}, and {len(prompt.texts)} rows of a batch had the prompt"
            raise UserError("pictures", problem, "which rows draw them is unknown: draw one at a time")

    def _explain_nothing(self) -> UserError:
        """Why no call of the network was recorded, although pictures were drawn."""
        block = self.block
        if block.named.states is not None:
            return UserError("states", "no call of the network was given them", "name the states that it is given")
        if find_networks(block.pipe)[0][0] is not block.networks[0]:
            problem = "the pipeline's network was replaced inside of the `with` block"
            return UserError(problem, fix="open a new `with` block after that")
        return UserError("the pipeline returned pictures, but its network was never given the prompt", fix=THE_WAY)

    def _close_negative(self, frames: int, count: int) -> Outcomes:
        """Attention to the negative prompt, as `TextRecording.close` has it, or why there is none. count: the number of
        pictures or frames."""
        if len(self.recordings) == 1:
            return [UserError("of", "the negative prompt was not captured", "capture(pipe, negative=True)")] * count
        prompt, negative = self.recordings
        recorder = negative.recorder
        if recorder.error is None and recorder.calls.latest.images != prompt.recorder.calls.latest.images:
            problem = "no row of the network's batches has it, encoded as prompts are, for each picture"
            fix = "models that draw without guidance read none"
            if prompt.encoded.is_negative_too:
                problem, fix = "is the prompt, too", "ask for heatmap(…) of the prompt"
            recorder.error = UserError("negative_prompt", problem, fix)
        try:
            return negative.close(frames)
        except UserError as error:
            return [error] * count


def _first_of(inputs: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of some inputs that is given."""
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)
