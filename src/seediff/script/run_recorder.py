"""`RunRecorder`: records one run. A run is one call of the pipeline. If the script captures a network alone, its whole
`with` block is one run.

Who owns whom:

    Listener                   one per `with` block: the pipeline and its network call it (listener.py)
    ├── Block                  what the block captures, and the runs that have ended
    │   └── AttentionRecorder  one for the prompts, perhaps others for the negative prompts and for shown pictures: sums
    │                          up attention maps
    └── RunRecorder            one per run, only while the run lasts
        ├── Encodings          the texts that the pipeline encoded (encodings.py)
        ├── Drawn              what the pipeline drew, and did to it afterwards (drawn.py)
        └── TextRecording      one per AttentionRecorder: chooses the rows whose attention is summed up

The network reads a batch. A row is one member of the batch: a picture, with one text. Guidance predicts each picture
twice, with the prompt and without it, in two rows or in two calls. Only the rows with the prompt are recorded, and with
`capture(pipe, negative=True)` also the rows with the negative prompt. What happens in a run:

    begin    before the pipeline draws: encode the texts for which the pipeline has no `encode_prompt`
    record   before each call of the network
               Encodings.choose: the encoded prompt, once
               TextRecording.find: the rows with this text
               TextRecording.begin_call ─▶ AttentionRecorder.begin_call, which sums up their maps while the network runs
    finish   when the pipeline returns
               TextRecording.attention ─▶ AttentionRecorder.maps: the means
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..attention.maps import Grid
from ..attention.networks import check_processors, find_networks
from ..attention.place import choose
from ..errors import UserError
from ..models.families.inputs import NetworkInputs, latents_of, named_inputs
from .drawn import Drawn
from .encodings import STATES, Encodings, listed
from .placement import Edits
from .run import Attention, Picture, Run, TextKind, returned_images
from .run_checks import check_memory, check_timesteps, warn_of_further_calls, warn_of_other_texts
from .text_recording import Block, TextRecording
from .which_rows import NAME_STATES, Encoded

THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer, states=prompt_embeds)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""


class RunRecorder:
    """Records one run. arguments: the arguments of the pipeline's call, by name; empty for a network alone.

    What an error of capture does:

        a UserError before the first step         it ends the pipeline's call
        any other error                           the pipeline goes on without capture. One warning reports the error,
                                                  which is raised when the script wants maps
        a UserError about the negative prompt     the pipeline and capture of the prompt go on. The error is raised when
        or about shown pictures                   the script wants the maps of these

    `raise_or_warn` handles the first two kinds of errors, and leaves the second to `AttentionRecorder.fail`, which
    keeps the error. `TextRecording.raise_later` handles the third kind.
    """

    def __init__(self, block: Block, arguments: Mapping[str, Any]) -> None:
        block.restart()
        self.block, self.arguments = block, arguments
        self.encodings = Encodings(block.family, block.pipe, block.named, arguments)
        self.drawn = Drawn()
        self.recordings: dict[TextKind, TextRecording] = {
            kind: TextRecording(block, recorder) for kind, recorder in block.recorders.items()
        }
        self.prompt = self.recordings["prompt"]
        self.negative = self.recordings.get("negative")
        self.shown = {kind: each for kind, each in self.recordings.items() if each.recorder.shown is not None}
        self._timesteps: dict[bool, list[torch.Tensor]] = {True: [], False: []}
        """For calls of the network with the prompt (True) and without it (False): the timestep of each call, (1,). They
        are compared when the run ends, because comparing waits for the GPU."""
        self._has_equal = False
        """Whether another text equals a prompt, and guidance takes two calls: the first one has the prompt."""
        self._first_at: torch.Tensor | None = None
        """The timestep of the last call, if that was such a first call."""
        self._drawn_latents: torch.Tensor | None = None
        """The drawn picture's latents in the call with the prompt, (pictures, positions, C), where others are shown;
        None from the first call after a step until a call has the prompt."""
        self._has_stepped = True
        """Whether the network has not run since the scheduler changed latents, or since the run began."""
        self._steps_others: list[torch.Tensor] = []
        """For each step of the scheduler, whether it changed other latents. They are read when the run ends."""
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
    def raise_or_warn(self) -> Iterator[None]:
        """Inside the `with` block, handle errors of capture as in the class's table: raise a UserError before the first
        step; keep any other error, and warn."""
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) and not self.prompt.steps and not self._has_ended:
                raise
            self.prompt.recorder.fail(error, "the network's call")

    # While the pipeline draws

    def begin(self) -> None:
        """Before the pipeline draws, encode the prompt if the pipeline has no `encode_prompt`, and the negative prompt
        if it is captured. Words of a negative prompt can be located only if it is encoded as prompts are."""
        # In the network's first call, the text encoder would run inside of the network, for all hooks to see.
        if self.block.named.states is not None or self.arguments.get("prompt_embeds") is not None:
            self.encodings.encode_named()
        elif not hasattr(self.block.pipe, "encode_prompt"):
            self.encodings.encode_prompts()
        if self.negative is None:
            return
        texts = listed(self.arguments.get("negative_prompt"))
        with self.negative.raise_later():
            if not any(texts):
                problem = "is empty, or was not given as a text"
                raise UserError("negative_prompt", problem, "give the pipeline negative_prompt='…'")
            for name in ("negative_prompt_2", "negative_prompt_3"):
                if not {"", *texts}.issuperset(listed(self.arguments.get(name))):
                    raise UserError(name, "differs from negative_prompt, which alone can be captured", "leave it out")
            if not self._shows_pictures:
                self.negative.encoded = Encoded(self.encodings.encode(texts), {"prompt": texts}, rule="any")

    @property
    def _shows_pictures(self) -> bool:
        """Whether the text encoder reads pictures of the call, too. Then only the pipeline can encode a text."""
        return self.block.family.reads_shown and self.arguments.get("image") is not None

    def record(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Record a call of the network, which runs next: its rows with the prompt, and with the negative prompt. args,
        kwargs: the call's arguments."""
        # 1. What the call is given. What was decoded before it was a preview
        self.drawn = Drawn()
        if self._has_stepped:
            self._drawn_latents, self._has_stepped = None, False
        family, inputs = self.block.family, named_inputs(network, args, kwargs)
        if inputs.get("skip_layers") is not None:  # a further prediction of SD 3's
            return
        states = _first_of(inputs, STATES)
        if states is None:
            raise UserError("the network was given no text")
        if family.frames_in_rows:
            states = states[:: family.frames(inputs)]  # one row for each clip

        # 2. Which rows have the prompt, and whether their maps can be had
        prompt, is_first = self.prompt, not self.prompt.steps
        if not prompt.encoded.states:  # once: it may run the text encoder
            prompt.encoded = self.encodings.choose(states, self.block.knows_order)
            self._check_equal(prompt.encoded)
        timestep = _first_of(inputs, ("timestep", "t"))
        if timestep is not None:
            timestep = torch.as_tensor(timestep).detach().flatten()[:1].clone()
        rows = self._rows(states, timestep)
        if rows and is_first:
            check_processors(network, family)
        grows = self.block.pipe is None and prompt.recorder.apart == "step"  # how many steps will come is unknown
        if rows and (is_first or grows):
            self._check_memory(network, inputs, len(rows), states[0].device)  # weights may be offloaded

        # 3. Record them
        prompt.begin_call(rows, states, inputs, network, args, kwargs)
        if self.negative is not None:
            with self.negative.raise_later():
                if self._shows_pictures and not self.negative.encoded.states:
                    encoded = self.encodings.with_texts(listed(self.arguments.get("negative_prompt")))
                    self.negative.encoded = replace(encoded, rule="any")
                self.negative.begin_call(self.negative.find(states), states, inputs, network, args, kwargs)
        for each in self.shown.values():
            with each.raise_later():
                each.encoded = prompt.encoded
                if rows:
                    each.check_shown(prompt.recorder.calls.latest.shown)
                each.begin_call(rows, states, inputs, network, args, kwargs)
        if rows:
            self._drawn_latents = self._drawn_of(inputs, [*rows])
        if timestep is not None:
            self._timesteps[bool(rows)].append(timestep)

    def _drawn_of(self, inputs: NetworkInputs, rows: Sequence[int]) -> torch.Tensor | None:
        """The drawn picture's latents in a call of the network that is also shown others; None if it is not. rows:
        those with the prompt."""
        latest = self.prompt.recorder.calls.latest
        if not latest.shown:
            return None
        positions = prod(latest.latent_size)
        layers = self.prompt.recorder.plan.all_layers.values()
        drawn = slice(-positions, None) if any(layer.others_first for layer in layers) else slice(positions)
        return choose(latents_of(inputs), rows)[:, drawn]

    def step(self, sample: Any) -> None:
        """Before the scheduler changes latents, note whether they are other than the drawn picture's. sample: these
        latents, as far as the scheduler names them so. Refuse the maps if a compiled network ran unseen."""
        recorder = self.prompt.recorder
        if recorder.is_compiled and self._has_stepped:
            problem = "ran where capture does not see it (compiled or replaced while the pipeline draws?)"
            recorder.fail(UserError("the network", problem, "do that before it draws"))
        drawn, self._has_stepped = self._drawn_latents, True
        if drawn is None or not torch.is_tensor(sample):
            return
        is_other = torch.ones((), dtype=torch.bool, device=drawn.device)
        if sample.shape == drawn.shape:
            # Not a number equals itself here: attention reports an overflow
            are_equal = drawn.isclose(sample.to(drawn), rtol=0, atol=0, equal_nan=True)
            is_other = ~are_equal.all()
        self._steps_others.append(is_other)

    def _check_equal(self, prompt: Encoded) -> None:
        """Raise UserError if another text equals a prompt, unless the order of rows, or the timesteps of calls, tell
        which is the prompt's."""
        if prompt.rule != "one per picture" or not prompt.has_equal:
            return
        block = self.block
        is_known = block.knows_order and self.negative is None
        if block.family.where_prompt == "first call":
            self._has_equal = True
            steps = getattr(block.pipe.scheduler, "timesteps", ())
            is_known = is_known and len(steps) > 0 and len({*map(float, steps)}) == len(steps)
        if not is_known:
            problem = "equals a prompt, so which rows draw the picture is unknown"
            raise UserError("negative_prompt", problem, "give another one")

    def _rows(self, states: Any, timestep: torch.Tensor | None) -> dict[int, int]:
        """Row → the number of its prompt, in a network call. states: the state of each row."""
        if self._has_equal and timestep is not None:
            if self._first_at is not None and torch.equal(self._first_at, timestep):
                self._first_at = None
                return {}
            self._first_at = timestep
        return self.prompt.find(states)

    def _check_memory(self, network: Any, inputs: NetworkInputs, rows: int, device: torch.device) -> None:
        """Raise UserError if the run's maps do not fit into memory. inputs: the network call's inputs. rows: the number
        of rows with the prompt. device: where the network computes."""
        block, family = self.block, self.block.family
        earlier = self.prompt.recorder.running.map_bytes + sum(run.map_bytes for run in block.runs)
        images, size = rows * family.frames(inputs), family.lattice(network, inputs)[1:]
        lattices: dict[int | None, Grid] = {None: size, **dict(enumerate(family.shown(inputs)))}
        needs = [(each, lattices[each.shown]) for each in block.recorders.values() if each.shown in lattices]
        check_memory(block.pipe, needs, size, images, device, earlier)

    # When the pipeline has drawn

    def until_now(self) -> RunRecorder:
        """A copy, which can be finished while the run goes on."""
        run = copy(self)
        run.recordings = {
            kind: replace(each, recorder=each.recorder.until_now()) for kind, each in self.recordings.items()
        }
        run.prompt, run.negative = run.recordings["prompt"], run.recordings.get("negative")
        run.shown = {kind: run.recordings[kind] for kind in self.shown}
        return run

    def finish(self, output: Any) -> Run | None:
        """End the run, and return what was drawn; None if nothing was drawn. output: what the pipeline returned."""
        self._has_ended = True
        prompt, negative, images = self.prompt, self.negative, list[np.ndarray]()

        # 1. The pictures, and their prompts
        with self.raise_or_warn():
            if self.arguments.get("output_type") != "latent":
                images = returned_images(output)
        prompts = [text.prompt for text in prompt.texts]
        if not prompts:  # no call of the network was recorded
            count = len(images) if self.block.pipe is not None else int(self.block.named.states is not None)
            prompts = [""] * count
        clips, frames = len(prompts), 1  # an image is a clip of one frame
        if not clips:
            return None
        if self.block.family.frames_dimension:  # the pipeline draws clips; as latents, if it returned no frames
            frames = len(images) // clips or prompt.recorder.calls.latest.frames

        # 2. Attention to the prompts, and to the negative prompts
        attention: dict[TextKind, list[Attention]] = {}
        with self.raise_or_warn():
            if prompt.recorder.error is None:
                self._check(len(images))
                self.drawn.check(images, bool(self.block.family.frames_dimension))
                attention["prompt"] = prompt.attention(frames)
                if negative is not None:
                    with negative.raise_later():
                        self._check_negative()
                        attention["negative"] = negative.attention(frames)

                for kind, each in self.shown.items():
                    with each.raise_later():
                        attention[kind] = each.attention(frames)

        # 3. One record for each picture, or for each frame. An error of the prompt's maps counts for all maps
        errors: dict[TextKind, UserError | None] = {
            kind: prompt.recorder.error or each.recorder.error for kind, each in self.recordings.items()
        }
        pictures: list[Picture] = []
        count = clips * frames
        edits, given = ([Edits()] * count + self.drawn.edits)[-count:], self._given_pictures()
        for number in range(count):
            outcomes: dict[TextKind, Attention | UserError] = {
                kind: error or attention[kind][number] for kind, error in errors.items()
            }
            pixels = images[number] if number < len(images) else None  # not all may be returned
            shown = given
            if len(prompt.recorder.calls.latest.shown) == 1 and len(given) > 1 and count % len(given) == 0:
                shown = [given[number % len(given)]]  # one for each prompt, repeated as a whole; prompts, one by one
            pictures.append(Picture(prompts[number // frames], outcomes, pixels, edits[number], shown))
        return Run(pictures, frames, prompt.steps)

    def _given_pictures(self) -> list[Any]:
        """The pictures that the pipeline was given to show; Pillow's are copied, because the script may change them."""
        given = self.arguments.get("image")
        if given is None or not self.shown:
            return []
        pictures = given if isinstance(given, list | tuple) else [given]
        return [each.copy() if isinstance(each, Image.Image) else each for each in pictures]

    def _check(self, images: int) -> None:
        """Raise UserError if the recorded maps may not belong to the pictures. images: how many pictures the pipeline
        returned."""
        block, prompt = self.block, self.prompt
        if not prompt.steps:
            raise self._explain_nothing()
        if self._timesteps[True]:
            scheduler = getattr(block.pipe, "scheduler", None)
            with_prompt, without = (torch.cat(each or [torch.empty(0)]).cpu() for each in self._timesteps.values())
            if block.pipe is None:  # the scheduler of a loop of one's own is unknown
                warn_of_further_calls(with_prompt)
            else:
                check_timesteps(scheduler, with_prompt, is_each=self._has_equal)
            warn_of_other_texts(scheduler, with_prompt, without)
        if block.pipe is not None and prompt.recorder.calls.latest.shown:
            self._check_drawn()
        clips, rest = divmod(images, len(prompt.texts))
        if rest or (clips > 1 and not block.family.frames_dimension):
            problem = f"the pipeline returned {images}, and {len(prompt.texts)} rows of a batch had the prompt"
            fix = "let the pipeline return each picture that it draws, and no other"
            raise UserError("pictures", f"{problem}: which rows draw them is unknown", fix)

    def _check_drawn(self) -> None:
        """Raise UserError unless the scheduler has stepped the latents of the picture that the network draws, and no
        others."""
        shows, unknown = "is shown pictures, and", "which it draws is unknown"
        if not self._steps_others:
            problem = f"{shows} no scheduler's step was seen: {unknown}"
            raise UserError("the network", problem, "set pipe.scheduler before the block")
        if bool(torch.stack(self._steps_others).any()):
            problem = f"{shows} the scheduler steps other latents than those of the drawn one: {unknown}"
            raise UserError("the network", problem, "draw without the others")

    def _explain_nothing(self) -> UserError:
        """The error that says why no call of the network was recorded, although the pipeline drew pictures."""
        block = self.block
        if block.named.states is not None:
            return UserError("states", "no call of the network was given them", "name the states that it is given")
        if find_networks(block.pipe)[0][0] is not block.networks[0]:
            problem = "the pipeline's network was replaced inside of the `with` block"
            return UserError(problem, fix="open a new `with` block after that")
        fix = NAME_STATES if self.prompt.encoded.states else THE_WAY  # its network ran, or not
        return UserError("the pipeline returned pictures, but its network was never given the prompt", fix=fix)

    def _check_negative(self) -> None:
        """Raise UserError unless each picture had a row with the negative prompt."""
        both = (self.recordings["prompt"], self.recordings["negative"])
        images = [recording.recorder.calls.latest.images for recording in both]
        if len(set(images)) > 1:
            problem = "no row of the network's batches has it, encoded as prompts are, for each picture"
            raise UserError("negative_prompt", problem, "models that draw without guidance read none")


def _first_of(inputs: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of these inputs that is given, or None."""
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)
