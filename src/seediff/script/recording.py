"""`Recording`: records what a pipeline, or a network alone, draws in a `with` block of `capture`.

A run is one call of the pipeline. If the script captures a network alone, its whole `with` block is one run. In a run,
from top to bottom:

    the pipeline                   the recording     what it calls
    pipe(…) begins                 draw, begin       a `Run`
      encode_prompt(…) returns                       hear_prompt (attention/network.py): the encoded prompt
      network(…) begins            before_network    AttentionRecorder.begin_call: the rows with it
                                                     read_text: which columns its words have, once
        its layers compute                           AttentionRecorder (attention/recorder.py)
    pipe(…) returns                draw, end         Run.drawn: a `Picture` for each row (pictures.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, product, repeat
from typing import Any

import torch

from ..attention.network import hear_prompt
from ..attention.plan import Expected
from ..attention.recorder import AttentionRecorder
from ..attention.which_rows import Encoded, check_counts, copied, states_of
from ..errors import UserError
from ..files.messages import plural, show_bytes
from ..masks.clips import frame_weights
from ..models.hooks import NetworkInputs
from ..models.saving_memory import memory_bytes
from .pictures import Attention, Picture, counts_of, returned_images
from .plan import without_compilation
from .which_columns import Named, ReadText, read_text


@dataclass
class Recording:
    """What a `with` block captures. A UserError before the first step ends the pipeline's call. After any later error
    the pipeline goes on without capture: one warning reports it, and it is raised when the script wants maps."""

    pipe: Any
    """The pipeline, or the network that the script captures alone."""
    named: Named
    recorder: AttentionRecorder
    pictures: list[Picture] = field(default_factory=list)
    """What was drawn in all runs that have ended."""
    image_numbers: list[range] = field(default_factory=list)
    """For each of these runs, the numbers of its pictures."""
    clips: list[range] = field(default_factory=list)
    """For each clip, the numbers of its frames, which are pictures."""
    outside: int = 0
    """How often the network ran while no run was in progress."""
    run: Run | None = None
    """The run in progress."""

    def clear(self) -> None:
        """Forget all pictures."""
        self.pictures.clear()
        self.image_numbers.clear()
        self.clips.clear()

    def draw(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline draw, and return its result. A call that ends with an error leaves no pictures.
        arguments, call: as in `Around`."""
        self.begin(arguments)
        try:
            with hear_prompt(self.pipe, arguments, self.recorder), without_compilation():
                output = call()
            self.end(output)
        finally:
            self.run = None
            self.recorder.restart()
        return output

    def begin(self, arguments: Mapping[str, Any]) -> None:
        """Begin a run. arguments: as in `Run`."""
        if arguments.get("padding_mask_crop"):
            problem = "pastes what it draws into another image, where maps are not put"
            raise UserError("padding_mask_crop", problem, "cut the image, and paste it back yourself")
        self.run = Run(self.pipe, self.named, self.recorder, arguments)
        texts: dict[str, Sequence[str]] = {}
        if self.named.prompts:
            texts["prompt"] = self.named.prompts
        states = self.named.states
        self.recorder.restart(Encoded(states or (), texts, is_named=states is not None))

    def before_network(self, network: Any, inputs: NetworkInputs) -> None:
        """Begin to record the network call that runs next, if it belongs to a run. inputs: the call's."""
        if self.run is None:
            self.outside += 1
        else:
            self.run.before_network(network, inputs)

    def end(self, output: Any = None) -> None:
        """End the run, and keep what was drawn. output: what the pipeline returned; None for a network alone."""
        assert self.run is not None
        pictures, frames = self.run.drawn(output)
        if not pictures:
            return
        first = len(self.pictures)
        self.pictures += pictures
        numbers = range(first, len(self.pictures))
        self.image_numbers.append(numbers)
        if self.run.are_clips:
            self.clips += [numbers[start : start + frames] for start in range(0, len(numbers), frames)]

    @property
    def elsewhere(self) -> str:
        """What to tell of calls of the network outside of a run; "" if there were none."""
        if not self.outside:
            return ""
        times = plural(self.outside, "time")
        return f"the network also ran {times} outside of the captured pipeline: capture the pipeline that runs it"


@dataclass
class Run:
    """A run in progress. pipe, named, recorder: those of the recording."""

    pipe: Any
    named: Named
    recorder: AttentionRecorder
    arguments: Mapping[str, Any]
    """The arguments of the pipeline's call, by name; empty for a network alone."""
    texts: Sequence[ReadText] = ()
    """The text of each picture; empty until the first step."""

    @property
    def are_clips(self) -> bool:
        return self.recorder.plan.family.frames_dimension > 0

    def before_network(self, network: Any, inputs: NetworkInputs) -> None:
        """As in `Recording`."""
        recorder = self.recorder
        prompt = recorder.prompt
        embeds = self.arguments.get("prompt_embeds")
        try:
            if prompt is not None and prompt.is_pending and embeds is not None:
                recorder.prompt = replace(prompt, states=copied(embeds))  # Z-Image does not ask `encode_prompt`
            recorder.begin_call(network, inputs)
            if recorder.call is not None and not self.texts:  # the first step
                states = states_of(recorder.plan.family, inputs)
                images = recorder.call.images
                check_memory(images, recorder.plan.expected(recorder.call.lattice), states[0].device)
                self.texts = self._read_texts(inputs, states)
        except Exception as error:
            if isinstance(error, UserError) and not self.texts:  # the first step has not begun
                raise
            recorder.fail(error, "the network's call")

    def _read_texts(self, inputs: NetworkInputs, states: Sequence[torch.Tensor]) -> list[ReadText]:
        """The text of each row with the prompt. inputs: the network call's. states: of all its rows."""
        call = self.recorder.calls.latest
        family = self.recorder.plan.family
        columns = 0
        if "cross" in self.recorder.plan.reads:
            columns = call.text_columns or 0
        texts = call.texts
        behind = family.reads_shown and bool(call.shown)
        if behind and len({own.get("prompt") for own in texts}) > 1:  # shorter ones are padded: their end is unknown
            texts = [{}] * len(texts)
        read = partial(read_text, self.pipe, family, self.named, columns=columns, behind_pictures=behind)
        return [read(own, len(states[row])) for row, own in zip(call.rows, texts, strict=True)]

    def drawn(self, output: Any) -> tuple[list[Picture], int]:
        """(pictures, frames) of the run, which has ended. frames: the number of pictures that are one clip; 1 for
        images. output: what the pipeline returned; None for a network alone."""
        # 1. How much was drawn
        images = list[Any]()
        if self.arguments.get("output_type") != "latent":
            images = returned_images(output)
        calls = self.recorder.calls
        latents = calls.latest.frames
        counts = counts_of(len(self.texts), len(images), latents, are_clips=self.are_clips)
        if not counts.expected:
            return [], 1

        # 2. Its attention, or the error that explains why there is none
        outcomes: Sequence[Attention | UserError]
        try:
            timesteps = getattr(getattr(self.pipe, "scheduler", None), "timesteps", None)
            steps = calls.count if timesteps is None else len(timesteps)
            check_counts(len(self.texts), calls.count, counts.drawn, steps)
            outcomes = self._attention(counts.frames, latents)
        except Exception as error:
            self.recorder.fail(error, "the pipeline")
            assert self.recorder.error is not None
            outcomes = [self.recorder.error] * (counts.expected * counts.frames)
        return [*map(Picture, outcomes, chain(images, repeat(None)))], counts.frames

    def _attention(self, frames: int, latents: int) -> list[Attention]:
        """The attention of each picture, or of each frame of each clip, which has that of its nearest latent frame.
        frames, latents: the numbers of frames and of latent frames in a clip."""
        texts = [text for text in self.texts for _ in range(latents)]
        prompts = [text.prompt for text in texts]
        maps = [each.cpu() for each in self.recorder.maps([{}] * len(prompts), prompts)]
        apart = [{name: each.cpu() for name, each in of.items()} for of in self.recorder.maps_apart(prompts)]
        of_latents = list(map(Attention, texts, maps, apart))
        nearest = frame_weights(frames, latents).argmax(1)
        return [of_latents[clip * latents + latent] for clip, latent in product(range(len(self.texts)), nearest)]


def check_memory(images: int, expected: Expected, device: torch.device) -> None:
    """Raise UserError if the maps of so many images do not fit into the computer's memory, or into the GPU's free
    memory. expected: the maps of one image. device: where the network computes."""
    needed = images * expected.map_bytes
    free = memory_bytes() or needed
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = min(free, torch.cuda.mem_get_info(device)[0] + cached)
    if needed > free:
        room = f"{show_bytes(needed)}, and {show_bytes(free)} of memory are there"
        fix = "draw fewer or smaller images at once, or capture less (keep='ca')"
        raise UserError("the attention maps", f"those of {images} images take {room}", fix)
