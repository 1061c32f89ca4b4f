"""Which calls of the network belong to a picture: those between the begin and the end of a call of the pipeline, whose
batch has rows with the prompt.

    pipe(…) ─▶ Listener.draw ─▶ the pipeline's own call, in which
                   encode_prompt(…) ─▶ note_encoding ─▶ PromptRows.note         (which_rows.py)
                   network(…) ─▶ before_network ─▶ PromptRows.find ─▶ AttentionRecorder.begin_call, with these rows
               finish ─▶ AttentionRecorder.maps ─▶ Run                          (run.py)

A run is one call of the pipeline, or the whole block around a network alone. An error of capture before the run's first
step ends the call. A later error ends no drawing: it is kept as the run's error, reported once in a warning, and raised
where maps are requested.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

import torch

from ..attention.maps import AttentionMaps
from ..attention.networks import OVERLAPPING, check_processors
from ..attention.recorder import AttentionRecorder
from ..errors import Notice, UserError
from ..models.families.family import named_inputs
from .memory import check_memory
from .run import Run
from .what_size import returned_images
from .which_rows import STATES, PromptRows, ReadText, listed

THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer, states=prompt_embeds)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""
NEW_BLOCK = "open a new `with` block after that"


@dataclass
class Call:
    """A call of the pipeline that is under way, or the block around a network alone."""

    prompt: PromptRows
    """Finds the prompt's rows."""
    run: Run = field(default_factory=Run)
    prompt_timesteps: list[torch.Tensor] = field(default_factory=list)
    """The timestep of each call of the network with the prompt."""
    other_timesteps: list[torch.Tensor] = field(default_factory=list)
    """The timestep of each other call of the network."""
    negative: PromptRows | None = None
    """Finds the negative prompt's rows, if they are captured."""
    thread: int = field(default_factory=threading.get_ident)
    """The thread of the call."""

    def check_thread(self) -> None:
        if self.thread != threading.get_ident():
            raise UserError(
                "two threads use a captured pipeline at once: let them take turns, or give each its own pipeline"
            )


class Listener:
    """Listens to a pipeline and its network, and sets which rows the recorders record.

    recorder: records attention to the prompts. negative_recorder: records attention to the negative prompts; None: it
    is not captured. networks: the captured networks. pipe: None: only its network is captured. prompts, states: the
    texts and their encoded states, if the script named them.
    """

    def __init__(
        self,
        recorder: AttentionRecorder,
        negative_recorder: AttentionRecorder | None,
        networks: Sequence[Any],
        pipe: Any,
        prompts: Sequence[str],
        states: Any,
    ) -> None:
        self.recorder, self.negative_recorder = recorder, negative_recorder
        self.recorders = [*filter(None, (recorder, negative_recorder))]
        self.networks, self.pipe, self.prompts, self.states = networks, pipe, prompts, states
        self.family = recorder.plan.family
        self.finished: list[Run] = []
        self.call: Call | None = None
        self.passed_over = False
        """Whether the network ran outside of the pipeline's calls."""
        self._encoded_outside = False
        """Whether the pipeline encoded a text outside of its calls, since the last one."""

    @property
    def map_bytes(self) -> int:
        """Bytes of the maps of finished runs."""
        runs = filter(None, chain.from_iterable((run, run.negative) for run in self.finished))
        every = chain.from_iterable([*run.maps, *chain(*(apart.values() for apart in run.maps_apart))] for run in runs)
        each = {id(one): one for one in every}  # frames share some
        return sum(tensor.nbytes for *_, tensor in chain.from_iterable(one.tensors() for one in each.values()))

    # What the pipeline does

    def draw(self, arguments: Mapping[str, Any], call_pipeline: Callable[[], Any]) -> Any:
        """Let the pipeline draw, and return its result. arguments: the arguments of the pipeline's call, by name. If
        an error ends the call, it leaves no `Run`."""
        if self.call is not None:
            self.call.check_thread()
            if self.call.run.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        call = self.call = self._new_call(arguments)
        with self._keeping_errors():
            if self.negative_recorder is not None:
                self._encode_negative(call)
        call.run.placing.must_crop = arguments.get("padding_mask_crop") is not None
        self._encoded_outside = False
        try:
            output = call_pipeline()
        except BaseException:
            self.call = None
            self._restart()
            raise
        self.finish(output)
        return output

    def _new_call(self, arguments: Mapping[str, Any]) -> Call:
        return Call(PromptRows(self.family, self.pipe, self.prompts, self.states, arguments))

    def note_encoding(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `encode_prompt`, with its arguments by name."""
        call = self.call
        if call is None or call.thread != threading.get_ident():
            self._encoded_outside = True
        elif not call.run.steps:  # a text that a callback encodes is not the prompt
            with self._keeping_errors():
                call.prompt.note(arguments, output)

    def note_placing(self, name: str, arguments: Mapping[str, Any], _output: Any) -> None:
        """Called after a method in PLACING, with its arguments by name."""
        if self.call is not None:
            with self._keeping_errors():
                self.call.run.placing.note(name, arguments)

    @contextmanager
    def _keeping_errors(self) -> Iterator[None]:
        """In this block, an error of capture ends the call of the pipeline before its first step, and no drawing
        later."""
        try:
            yield
        except Exception as error:
            self._pass_over()
            if isinstance(error, UserError) and self.call is not None and not self.call.run.steps:
                raise
            self.recorder.fail(error, "the network's call")

    # What the network is given

    def before_network(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides which rows of its call are recorded."""
        if self.call is not None:
            self.call.check_thread()
        self._pass_over()
        if self.call is None and self.pipe is not None:
            if self._encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.passed_over = True  # another pipeline with the same network
            return
        self.call = self.call or self._new_call({})
        if self.recorder.error is None:
            with self._keeping_errors():
                self._record_call(self.call, network, args, kwargs)

    def _record_call(self, call: Call, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        inputs = named_inputs(network, args, kwargs)
        _, height, width = self.family.lattice(network, inputs)
        if inputs.get("skip_layers") is not None:  # a further prediction of SD 3's
            return
        states, frames = _first_of(inputs, STATES), self.family.frames(inputs)
        if states is None:
            raise UserError("the network was given no text")
        if self.family.frames_in_rows:
            states = states[::frames]  # one row for each clip
        rows = call.prompt.find(states, inputs)
        if rows is not None:
            if not call.run.steps:
                check_processors(network)
            has_no_end = self.pipe is None and self.recorder.apart == "step"  # so each step is counted when it comes
            if has_no_end or not call.run.steps:
                device = states[0].device  # weights may be offloaded
                earlier = self.map_bytes + self.recorder.running.map_bytes
                check_memory(self.pipe, self.recorders, (height, width), len(rows) * frames, device, earlier)
            self._record_rows(self.recorder, call.run, call.prompt, rows, network, args, kwargs)
        timestep = _first_of(inputs, ("timestep", "t"))
        if timestep is not None:  # read when the run ends: a GPU would be waited for
            timesteps = call.other_timesteps if rows is None else call.prompt_timesteps
            timesteps.append(torch.as_tensor(timestep).detach().flatten()[:1].clone())
        recorder, run = self.negative_recorder, call.run.negative
        if recorder is not None and recorder.error is None and call.negative is not None and run is not None:
            rows = call.negative.find(states, inputs)
            if rows is not None:
                self._record_rows(recorder, run, call.negative, rows, network, args, kwargs)

    def _record_rows(
        self, recorder: AttentionRecorder, run: Run, prompt: PromptRows, rows: Sequence[int], *call_of_network: Any
    ) -> None:
        """Record rows of this call of the network."""
        if not run.steps:
            run.texts = prompt.texts
        recorder.begin_call(*call_of_network, rows=rows)
        run.steps += 1

    # The negative prompt

    def _encode_negative(self, call: Call) -> None:
        """Encode the negative prompt as the pipeline encodes prompts, because words are located as in prompts."""
        texts, run = listed(call.prompt.call_arguments.get("negative_prompt")), Run()
        call.run.negative = run
        if not any(texts):
            problem = "is empty, or was not given as a text"
            run.error = UserError("negative_prompt", problem, "give the pipeline negative_prompt='…'")
            return
        try:
            call.negative = PromptRows(self.family, self.pipe, texts, call.prompt.encode(texts))
        except UserError as error:
            run.error = error

    def _close_negative(self, call: Call, recorder: AttentionRecorder, run: Run) -> None:
        """Give a run of negative prompts its maps."""
        if run.error is None and (not run.steps or recorder.calls.latest.images != self.recorder.calls.latest.images):
            problem = "no row of the network's batches has it, encoded as prompts are, for each picture"
            fix = "models that draw without guidance read none"
            if call.prompt.negative_is_prompt:
                problem, fix = "is the prompt, too", "ask for heatmap(…) of the prompt"
            run.error = UserError("negative_prompt", problem, fix)
        if run.error is None:
            try:
                run.take(_maps(recorder, run))
            except UserError as error:
                run.error = error

    # The end of a run

    def finish(self, output: Any = None) -> None:
        """End the current call, if any, and move its run's maps to the CPU."""
        call, self.call = self.call, None  # from here on, all errors are kept, because the picture is unaffected
        if call is None:
            return
        run = call.run
        with self._keeping_errors():
            if call.prompt.call_arguments.get("output_type") != "latent":
                run.images = returned_images(output)
        if not run.texts:
            self._name_pictures(call)
        if run.texts:
            with self._keeping_errors():
                if self.recorder.error is None:
                    self._close_run(call)
            run.error = self.recorder.error
            if run.error is not None:
                run.maps, run.negative = [], None
            if self.family.frames_dimension:
                latent_frames = self.recorder.calls.latest.frames
                frames = len(run.images) // run.count or latent_frames
                for each in filter(None, (run, run.negative)):
                    each.show_frames(frames, latent_frames)
            run.images = [*run.images, *[None] * run.count][: run.count]
            self.finished.append(run)
        self._restart()

    def _close_run(self, call: Call) -> None:
        """Give a run its maps. Raises UserError if they may not be the picture's."""
        run = call.run
        if not run.steps:
            raise self._explain_nothing()
        if self.recorder.graphs is not None:
            self.recorder.graphs.check_unchanged()
        self._check_calls(call)
        self._warn_of_other_texts(call)
        clips, rest = divmod(len(run.images), run.count)
        if rest or (clips > 1 and not self.family.frames_dimension):
            problem = f"the pipeline returned {len(run.images)}, and {run.count} rows of a batch had the prompt"
            raise UserError("pictures", problem, "which rows draw them is unknown: draw one at a time")
        run.take(_maps(self.recorder, run))
        prompts = [maps.prompt for maps in run.maps]
        run.maps_apart = [{name: one.cpu() for name, one in of.items()} for of in self.recorder.maps_apart(prompts)]
        if self.negative_recorder is not None and run.negative is not None:
            self._close_negative(call, self.negative_recorder, run.negative)

    def _name_pictures(self, call: Call) -> None:
        """The texts of the pictures that a call returned without a recorded call of the network."""
        run, prompts = call.run, listed(call.prompt.call_arguments.get("prompt")) or list(self.prompts) or [""]
        count = len(run.images) if self.pipe is not None else int(self.states is not None)
        run.texts = [ReadText({"prompt": prompts[number * len(prompts) // count]}) for number in range(count)]

    def _explain_nothing(self) -> UserError:
        """Why no call of the network was recorded, although pictures were drawn."""
        if self.states is not None:
            return UserError("states", "no call of the network was given them", "name the states that it is given")
        current = [getattr(self.pipe, name, None) for name in (self.family.network_part, "transformer_2")]
        if not any(network is one for network in self.networks for one in current):
            return UserError("the pipeline's network was replaced inside of the `with` block", fix=NEW_BLOCK)
        return UserError("the pipeline returned pictures, but its network was never given the prompt", fix=THE_WAY)

    def _check_calls(self, call: Call) -> None:
        """Raise UserError if the network was called more often with the prompt than the scheduler has timesteps, or at
        one timestep more often than the scheduler repeats any: then other calls drew something else."""
        if self.pipe is None or not call.prompt_timesteps:  # the scheduler of a loop of one's own is unknown
            return
        timesteps = torch.cat(call.prompt_timesteps).cpu()
        most_at_one, most_in_all = 1, len(timesteps)
        steps = getattr(getattr(self.pipe, "scheduler", None), "timesteps", None)
        if torch.is_tensor(steps) and len(steps):
            steps = steps.to(timesteps)
            for scaled in (steps, steps / 1000, 1 - steps / 1000):  # as networks are given them
                near = torch.isclose(
                    scaled.float(), timesteps[:, None].float(), rtol=4e-3, atol=1e-4
                )  # in bfloat16, too
                if near.any(1).all():
                    most_at_one, most_in_all = _repeats(scaled), len(steps)
                    break
        if call.prompt.negative_is_prompt and not call.prompt.negative_in_same_batch:
            most_at_one, most_in_all = 2 * most_at_one, 2 * most_in_all  # either call may be the prompt's
        if _repeats(timesteps) > most_at_one or len(timesteps) > most_in_all:
            times = f"{len(timesteps)} times, {_repeats(timesteps)} times at one step"
            problem = f"the network was given the prompt {times}: {OVERLAPPING}"
            raise UserError("picture", problem, "draw without the other calls")

    def _warn_of_other_texts(self, call: Call) -> None:
        """Warn if some timesteps had no call with the prompt."""
        both = call.prompt_timesteps, call.other_timesteps
        own, others = ({timestep for one in each for timestep in one.tolist()} for each in both)
        if others - own:
            count = f"at {len(own)} of {len(others | own)} timesteps (a callback that changes it?)"
            warnings.warn(
                Notice(f"the network was given the prompt {count}: maps are the means of these"), stacklevel=2
            )

    def _pass_over(self) -> None:
        for recorder in self.recorders:
            recorder.end_call()

    def _restart(self) -> None:
        for recorder in self.recorders:
            recorder.restart()

    def results(self) -> list[Run]:
        """The finished runs. A network alone has one run, which ends where its results are requested."""
        if self.pipe is None:
            self.finish()
        return self.finished


def _repeats(timesteps: torch.Tensor) -> int:
    """How often the most frequent timestep occurs."""
    return max(Counter(timesteps.tolist()).values(), default=0)


def _first_of(inputs: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of some inputs that is given."""
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)


def _maps(recorder: AttentionRecorder, run: Run) -> list[AttentionMaps]:
    """The maps of a run, on the CPU."""
    prompts = [text.prompt for text, _ in product(run.texts, range(recorder.calls.latest.frames))]
    try:
        return [maps.cpu() for maps in recorder.maps([{}] * len(prompts), prompts)]
    except UserError as error:
        if error.subject != "dtype":  # attention that is not a number
            raise
        raise UserError("the network", error.problem, "pipe.to(torch.float32), or torch.bfloat16, first") from error
