"""`RunRecorder`: records one run. A run is one call of the pipeline. If the script captures a network alone, its whole
`with` block is one run.

    note       the pipeline encoded a text (`encode_prompt`)
    record     before each call of the network
                 _find_prompt: the encoded prompt, once
                 find_rows: the rows with it
                 read_text: which columns its words have, once
                 AttentionRecorder.begin_call, which sums up their maps while the network runs
    finish     the pipeline returned: the means, a record for each picture

`Run`: what one call of a captured pipeline drew, picture by picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention.maps import AttentionMaps, Grid
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..files.image_files import on_white
from ..files.messages import show_bytes
from ..masks.clips import frame_weights
from ..models.families.family import Family
from ..models.families.inputs import NetworkInputs
from ..models.saving_memory import memory_bytes
from .which_columns import ReadText, read_text
from .which_rows import NAME_STATES, STATES, Encoded, Named, copied, find_rows, listed

PER_PROMPT = ("num_images_per_prompt", "num_videos_per_prompt")
"""The number of pictures or clips for each prompt: an argument of pipelines, and of an `encode_prompt` that itself
repeats the states."""
KNOWN_CALLS = 3
"""For how many calls of the network the rows are remembered. The next step's calls may have the same states."""


@dataclass(frozen=True)
class Block:
    """What a `with` block captures, and the runs that have ended."""

    pipe: Any
    """The pipeline; None if the script captures a network alone."""
    family: Family
    named: Named
    recorder: AttentionRecorder
    runs: list[Run] = field(default_factory=list)


def check_memory(block: Block, images: int, lattice: Grid, device: torch.device) -> None:
    """Raise UserError if the maps of a run do not fit into the computer's memory, or into the GPU's free memory.
    images: the number of pictures, or of latent frames. lattice: the (height, width) of each in positions. device:
    where the network computes."""
    needed = images * block.recorder.plan.expected(lattice, type(block.pipe).__name__).map_bytes
    free = memory_bytes() or needed
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = min(free, torch.cuda.mem_get_info(device)[0] + cached)
    if needed > free:
        problem = f"those of {images} images take {show_bytes(needed)}, and {show_bytes(free)} of memory are there"
        raise UserError(
            "the attention maps", problem, "draw fewer or smaller images at once, or capture less (keep='ca')"
        )


class RunRecorder:
    """Records one run. arguments: the arguments of the pipeline's call, by name; empty for a network alone.

    A UserError before the first step ends the pipeline's call. After any later error the pipeline goes on without
    capture: one warning reports it, and it is raised when the script wants maps.
    """

    def __init__(self, block: Block, arguments: Mapping[str, Any]) -> None:
        if arguments.get("padding_mask_crop"):
            problem = "pastes what it draws into another image, where maps are not put"
            raise UserError("padding_mask_crop", problem, "cut the image, and paste it back yourself")
        block.recorder.restart()
        self.block, self.arguments = block, arguments
        self.noted: list[Encoded] = []
        """What the pipeline encoded with the call's `prompt`."""
        self.prompt: Encoded | None = None
        self.texts: list[ReadText] = []
        """The text of each picture; empty until a call of the network had it."""
        self._known: list[tuple[list[Any], list[int], dict[int, int]]] = []
        """(states, their versions, rows) of the last KNOWN_CALLS calls of the network. It keeps these states alive, so
        that no other states can take their place in memory."""

    @contextmanager
    def raise_or_warn(self) -> Iterator[None]:
        """Inside the `with` block, handle errors of capture as the class says."""
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) and not self.block.recorder.calls.count:
                raise
            self.block.recorder.fail(error, "the network's call")

    def note(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Remember an encoding of the call's prompt. arguments: those of `encode_prompt`, by name. output: what it
        returned: the prompts' states first."""
        states = output[0] if isinstance(output, tuple) else output
        own = self.arguments.get("prompt", arguments.get("prompt"))  # `__call__(self, *args)` names none
        if states is None or listed(arguments.get("prompt")) != listed(own):
            return
        pipe, names = self.block.pipe, ("prompt", "prompt_2", "prompt_3")
        texts = {name: listed(arguments[name]) for name in names if arguments.get(name) is not None}
        clean = getattr(pipe, "_text_preprocessing", None)
        if texts and clean is not None:
            texts["prompt"] = clean(texts["prompt"], clean_caption=arguments.get("clean_caption", False))
        repeats = 1
        if arguments.keys().isdisjoint(PER_PROMPT):  # otherwise `encode_prompt` itself repeats them
            repeats = next((int(self.arguments[name]) for name in PER_PROMPT if self.arguments.get(name)), 1)
        self.noted.append(Encoded([state for state in copied(states) for _ in range(repeats)], texts))

    def _find_prompt(self) -> Encoded:
        """The encoded prompt: what the script named, or else what the pipeline first encoded with the call's prompt."""
        named = self.block.named
        texts = {"prompt": named.prompts} if named.prompts else {}
        if named.states is not None:
            return Encoded(named.states, texts, is_named=True)
        embeds = self.arguments.get("prompt_embeds")
        if not self.noted and embeds is not None:  # Z-Image does not ask `encode_prompt` about them
            return Encoded(copied(embeds), texts)
        if not self.noted:
            problem = "has not encoded its prompt with its encode_prompt, so which rows have it is unknown"
            raise UserError("the pipeline", problem, NAME_STATES)
        return Encoded(self.noted[0].states, texts or self.noted[0].texts)

    def record(self, network: Any, inputs: NetworkInputs) -> None:
        """Record a call of the network, which runs next. inputs: the call's."""
        family = self.block.family
        if inputs.get("skip_layers") is not None:  # a further prediction of SD 3's
            return
        states = next((inputs[name] for name in STATES if inputs.get(name) is not None), None)
        if states is None:
            raise UserError("the network was given no text")
        if family.frames_in_rows:
            states = states[:: family.frames(inputs)]  # one row for each clip
        if self.prompt is None:
            self.prompt = self._find_prompt()
        rows = self._find_rows(self.prompt, states)
        if not rows:
            return
        if not self.texts:
            images, lattice = len(rows) * family.frames(inputs), family.lattice(network, inputs)[1:]
            check_memory(self.block, images, lattice, states[0].device)
            self.texts = self._read(rows, states, inputs)
        numbers: Sequence[int] = [*rows]
        if len(numbers) == numbers[-1] + 1 - numbers[0]:
            numbers = range(numbers[0], numbers[-1] + 1)  # capture takes a range of rows without a copy
        self.block.recorder.begin_call(network, inputs, rows=numbers)

    def _find_rows(self, prompt: Encoded, states: Any) -> dict[int, int]:
        """Row → the number of its prompt. The same states as in one of the last calls are not compared again, because
        comparing waits for the GPU."""
        parts = [*states] if isinstance(states, list | tuple) else [states]  # a list may change
        # A version counts how often a tensor was changed in place; PyTorch does not count in `inference_mode`.
        versions = [part._version for part in parts if not part.is_inference()]
        for known, known_versions, rows in self._known:
            if [*map(id, known)] == [*map(id, parts)] and known_versions == versions:
                return rows
        rows = find_rows(prompt, states)
        if len(versions) == len(parts):
            self._known = [(parts, versions, rows), *self._known[: KNOWN_CALLS - 1]]
        return rows

    def _read(self, rows: Mapping[int, int], states: Any, inputs: NetworkInputs) -> list[ReadText]:
        """The text of each row with the prompt."""
        block, prompt, columns = self.block, self.prompt, 0
        assert prompt is not None
        if "cross" in block.recorder.plan.reads:
            columns = block.family.text_columns_of_call(inputs) or 0
        behind = block.family.reads_shown and bool(block.family.shown(inputs))
        texts: list[ReadText] = []
        for row, number in rows.items():
            own = {} if behind and len({*listed(prompt.texts.get("prompt"))}) > 1 else prompt.texts_of(number)
            state = len(states[row])
            texts.append(read_text(block.pipe, block.family, block.named, own, state, columns, behind_pictures=behind))
        return texts

    def finish(self, output: Any) -> Run | None:
        """End the run, and return what was drawn; None if nothing was drawn. output: what the pipeline returned."""
        block, images = self.block, list[Any]()
        if self.arguments.get("output_type") != "latent":
            images = returned_images(output)
        count = len(self.texts) or len(images)
        if not count:
            return None
        frames, latents = 1, block.recorder.calls.latest.frames
        if block.family.frames_dimension:  # the pipeline draws clips; as latents, if it returned no frames
            frames = len(images) // count or latents
        outcomes: Sequence[Attention | UserError]
        try:
            self._check(len(images), count * frames)
            outcomes = self._attention(frames, latents)
        except Exception as error:
            block.recorder.fail(error, "the pipeline")
            assert block.recorder.error is not None
            outcomes = [block.recorder.error] * (count * frames)
        pictures: list[Picture] = []
        for number, outcome in enumerate(outcomes):
            prompt = outcome.text.prompt if isinstance(outcome, Attention) else ""
            pictures.append(Picture(prompt, outcome, images[number] if number < len(images) else None))
        return Run(pictures, frames)

    def _check(self, returned: int, drawn: int) -> None:
        """Raise UserError if not each row with the prompt drew one returned picture, once at each step."""
        calls, rows = self.block.recorder.calls.count, len(self.texts)
        timesteps = getattr(getattr(self.block.pipe, "scheduler", None), "timesteps", None)
        steps = calls if timesteps is None else len(timesteps)
        if not rows or returned not in (0, drawn) or calls > steps:
            counts = f"{rows} rows had the prompt in {calls} calls, for {returned} images of {steps} steps"
            fix = "use a pipeline of diffusers that draws each image in one row (docs/script.md)"
            raise UserError("the pipeline", f"{counts}: which of them draw the images is unknown", fix)

    def _attention(self, frames: int, latents: int) -> list[Attention]:
        """The attention of each picture, or of each frame of each clip, which has that of its nearest latent frame.
        frames, latents: the numbers of frames and of latent frames in a clip."""
        recorder, texts = self.block.recorder, [text for text in self.texts for _ in range(latents)]
        prompts = [text.prompt for text in texts]
        maps = [each.cpu() for each in recorder.maps([{}] * len(prompts), prompts)]
        apart = [{name: each.cpu() for name, each in of.items()} for of in recorder.maps_apart(prompts)]
        of_latents = list(map(Attention, texts, maps, apart))
        nearest = frame_weights(frames, latents).argmax(1)
        return [of_latents[clip * latents + latent] for clip, latent in product(range(len(self.texts)), nearest)]


@dataclass(frozen=True)
class Attention:
    """Attention to the prompt of one picture. The network draws clips as fewer latent frames: all frames of a latent
    frame share this object."""

    text: ReadText
    maps: AttentionMaps
    """On the CPU, without words."""
    apart: dict[str, AttentionMaps]
    """The maps of each step or of each layer, if the script wants them apart; otherwise empty."""


@dataclass(frozen=True)
class Picture:
    """A picture, or a frame of a clip, and what was captured while it was drawn."""

    prompt: str
    """The text for the first text encoder; "" if the pipeline was given only embeddings."""
    outcome: Attention | UserError
    """Its attention, or the error because of which there are no maps."""
    pixels: np.ndarray | None
    """(H, W, 3) uint8; None if the pipeline did not return the picture."""


@dataclass(frozen=True)
class Run:
    """What one call of the pipeline drew. If the script captures a network alone, what its whole `with` block drew."""

    pictures: Sequence[Picture]
    frames: int
    """The number of frames of each clip; 1 for images."""


def returned_images(output: Any) -> list[np.ndarray]:
    """The pictures (H, W, 3) uint8 in what a pipeline returned, transparent ones on white; an empty list for latents.
    output: the pipeline's result, or any part of it: pictures, clips, arrays or tensors with values in [0, 1]."""
    images: Any = getattr(output, "images", getattr(output, "frames", output))
    if isinstance(images, tuple):
        images = list(images[:1])  # the other parts are flags
    if isinstance(images, list):  # a list of pictures, or of clips
        return [*chain.from_iterable(map(returned_images, images))]
    if torch.is_tensor(images) and images.ndim > 3 and images.shape[-3] == 3:  # latents have other channels
        images = images.detach().movedim(-3, -1).float().cpu().numpy()  # numpy has no bfloat16
    if isinstance(images, np.ndarray) and images.ndim > 3 and images.shape[-1] in (3, 4):
        pixels = (images * 255).round().astype(np.uint8)
        return returned_images(list(map(Image.fromarray, pixels.reshape(-1, *pixels.shape[-3:]))))
    return [np.array(on_white(images))] if isinstance(images, Image.Image) else []
