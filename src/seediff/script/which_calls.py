"""Which calls of the network belong to a picture: those between the begin and the end of a call of the pipeline, whose
batch has rows with the prompt.

A run is one call of the pipeline, or the whole block around a network alone. What is found wrong before its first step
ends the call. What is found later ends no drawing: it is kept as the run's error, told once, and raised where maps are
requested.
"""

from __future__ import annotations

import math
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
from .run import Run
from .what_size import returned_images
from .which_rows import STATES, PromptRows, ReadText, Rows, listed

THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer, states=prompt_embeds)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""
NEW_BLOCK = "open a new `with` block after that"


@dataclass
class Call:
    """A call of the pipeline that is under way, or the block around a network alone.

    rows: finds the prompt's. given: the call's arguments. levels, others: the timestep of each call of the network with
    the prompt, and of the others. negative: finds the negative prompt's rows, if they are captured. thread: the call's
    own.
    """

    rows: PromptRows
    given: Mapping[str, Any]
    run: Run = field(default_factory=Run)
    levels: list[torch.Tensor] = field(default_factory=list)
    others: list[torch.Tensor] = field(default_factory=list)
    negative: PromptRows | None = None
    thread: int = field(default_factory=threading.get_ident)

    def check_thread(self) -> None:
        if self.thread != threading.get_ident():
            raise UserError(
                "two threads use a captured pipeline at once: let them take turns, or give each its own pipeline"
            )


class Listener:
    """Listens to a pipeline and its network, and tells the recorder which rows to record.

    networks: those that are captured. pipe: None: only its network is captured. prompts, states: the texts and their
    encoded states, if the script named them. check: called with the plans, (height, width) of L, the number of images,
    the device and the bytes of earlier maps before anything of a run is recorded; raises UserError. recorders: of the
    prompts, and of the negative prompts, if they are captured.
    """

    def __init__(
        self,
        recorders: Sequence[AttentionRecorder],
        networks: Sequence[Any],
        pipe: Any,
        prompts: Sequence[str],
        states: Any,
        check: Callable[..., None],
    ) -> None:
        self.recorders, self.networks, self.pipe = recorders, networks, pipe
        self.prompts, self.states, self.check = prompts, states, check
        self.recorder, *self.beside = recorders
        self.family = self.recorder.family
        self.finished: list[Run] = []
        self.call: Call | None = None
        self.passed_over = False
        """Whether the network ran outside of the pipeline's calls."""
        self._encoded_outside = False
        """Whether the pipeline encoded a text outside of its calls, since the last one."""

    @property
    def held(self) -> int:
        """Bytes of the maps of finished runs."""
        runs = filter(None, chain.from_iterable((run, run.negative) for run in self.finished))
        every = chain.from_iterable([*run.maps, *chain(*(part.values() for part in run.parts))] for run in runs)
        each = {id(one): one for one in every}  # frames share some
        return sum(tensor.nbytes for *_, tensor in chain.from_iterable(one.tensors() for one in each.values()))

    # What the pipeline does

    def follow(self, given: Mapping[str, Any], draw: Callable[[], Any]) -> Any:
        """The result of one call of the pipeline, with these arguments. A call that an error ends is no run."""
        if self.call is not None:
            self.call.check_thread()
            if self.call.run.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        call = self.call = self._begin_run(given)
        with self._kept():
            if self.beside:
                self._encode_negative(call)
        call.run.placing.must_crop = given.get("padding_mask_crop") is not None
        self._encoded_outside = False
        try:
            output = draw()
        except BaseException:
            self.call = None
            self._restart()
            raise
        self.finish(output)
        return output

    def _begin_run(self, given: Mapping[str, Any]) -> Call:
        return Call(PromptRows(self.family, self.pipe, self.prompts, self.states, given), given)

    def note_encoding(self, given: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `encode_prompt`. given: its arguments by name."""
        call = self.call
        if call is None or call.thread != threading.get_ident():
            self._encoded_outside = True
        elif not call.run.steps:  # a text that a callback encodes is not the prompt
            with self._kept():
                call.rows.note(given, output)

    def note_placing(self, name: str, given: Mapping[str, Any], _output: Any) -> None:
        """Called after methods in PLACING."""
        if self.call is not None:
            with self._kept():
                self.call.run.placing.note(name, given)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """An error of capture in this block is kept, and ends no drawing; what is known before the first step does."""
        try:
            yield
        except Exception as error:
            self._pass_over()
            if isinstance(error, UserError) and self.call is not None and not self.call.run.steps:
                raise
            self.recorder.keep(error, "the network's call")

    # What the network is given

    def begin(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides which rows of this call are recorded."""
        if self.call is not None:
            self.call.check_thread()
        self._pass_over()
        if self.call is None and self.pipe is not None:
            if self._encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.passed_over = True  # another pipeline with the same network
            return
        self.call = self.call or self._begin_run({})
        if self.recorder.error is None:
            with self._kept():
                self._begin(self.call, network, args, kwargs)

    def _begin(self, call: Call, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        given = named_inputs(network, args, kwargs)
        _, height, width = self.family.lattice(network, given)
        if given.get("skip_layers") is not None:  # a further prediction of SD 3's
            return
        states, frames = _first(given, STATES), self.family.frames(given)
        if states is None:
            raise UserError("the network was given no text")
        if self.family.frames_in_rows:
            states = states[::frames]  # one row for each clip
        rows = call.rows.find(states, given)
        if rows is not None:
            if not call.run.steps:
                check_processors(network)
            has_no_end = self.pipe is None and self.recorder.apart == "step"  # so each step is counted when it comes
            if has_no_end or not call.run.steps:
                plans, images = [recorder.plan for recorder in self.recorders], len(rows.numbers) * frames
                device, held = states[0].device, self.held + self.recorder.held  # weights may be offloaded
                calls = len(getattr(getattr(self.pipe, "scheduler", None), "timesteps", ())) or 1
                every = self.recorder.config.steps
                kept = calls if isinstance(every, str) else math.ceil(calls / every)
                self.check(plans, (height, width), images, device, held, self.recorder.apart, kept)
            self._start(self.recorder, call.run, rows, network, args, kwargs)
        level = _first(given, ("timestep", "t"))
        if level is not None:  # read when the run ends: a GPU would be waited for
            levels = call.others if rows is None else call.levels
            levels.append(torch.as_tensor(level).detach().flatten()[:1].clone())
        for beside in self.beside:
            if call.negative is not None and call.run.negative is not None and beside.error is None:
                rows = call.negative.find(states, given)
                if rows is not None:
                    self._start(beside, call.run.negative, rows, network, args, kwargs)

    def _start(self, recorder: AttentionRecorder, run: Run, rows: Rows, *of_network: Any) -> None:
        """Record rows of this call."""
        if not run.steps:
            run.texts = list(rows.texts)
        recorder.rows = rows.numbers
        recorder.start_step(*of_network)
        run.steps += 1

    # The negative prompt

    def _encode_negative(self, call: Call) -> None:
        """Encode the negative prompt as the pipeline encodes prompts, because words are located as in those."""
        texts, run = listed(call.given.get("negative_prompt")), Run()
        call.run.negative = run
        if not any(texts):
            problem = "is empty, or was not given as a text"
            run.error = UserError("negative_prompt", problem, "give the pipeline negative_prompt='…'")
            return
        try:
            call.negative = PromptRows(self.family, self.pipe, texts, call.rows.encode(texts))
        except UserError as error:
            run.error = error

    def _finish_negative(self, call: Call, run: Run) -> None:
        """Give a run of negative prompts its maps."""
        (beside,) = self.beside
        if run.error is None and (not run.steps or beside.images != self.recorder.images):
            problem = "no row of the network's batches has it, encoded as prompts are, for each picture"
            fix = "models that draw without guidance read none"
            if call.rows.is_negative:
                problem, fix = "is the prompt, too", "ask for heatmap(…) of the prompt"
            run.error = UserError("negative_prompt", problem, fix)
        if run.error is None:
            try:
                run.take(_maps(beside, run))
            except UserError as error:
                run.error = error

    # The end of a run

    def finish(self, output: Any = None) -> None:
        """End the current call, if any, and move its run's maps to the CPU."""
        call, self.call = self.call, None  # from here on, all errors are kept: the picture is unaffected
        if call is None:
            return
        run = call.run
        with self._kept():
            if call.given.get("output_type") != "latent":
                run.images = returned_images(output)
        if not run.texts:
            self._name_pictures(call)
        if run.texts:
            with self._kept():
                if self.recorder.error is None:
                    self._finish(call)
            run.error = self.recorder.error
            if run.error is not None:
                run.maps, run.negative = [], None
            if self.family.frames_dimension:
                frames = len(run.images) // run.count or self.recorder.frames
                for each in filter(None, (run, run.negative)):
                    each.show_frames(frames, self.recorder.frames)
            run.images = [*run.images, *[None] * run.count][: run.count]
            self.finished.append(run)
        self._restart()

    def _finish(self, call: Call) -> None:
        run = call.run
        if not run.steps:
            raise self._explain_nothing()
        if self.recorder.graphs is not None:
            self.recorder.graphs.check_unchanged()
        self._check_calls(call)
        self._tell_of_other_texts(call)
        clips, rest = divmod(len(run.images), run.count)
        if rest or (clips > 1 and not self.family.frames_dimension):
            problem = f"the pipeline returned {len(run.images)}, and {run.count} rows of a batch had the prompt"
            raise UserError("pictures", problem, "which rows draw them is unknown: draw one at a time")
        run.take(_maps(self.recorder, run))
        prompts = [maps.prompt for maps in run.maps]
        run.parts = [{name: one.cpu() for name, one in of.items()} for of in self.recorder.parts(prompts)]
        if run.negative is not None:
            self._finish_negative(call, run.negative)

    def _name_pictures(self, call: Call) -> None:
        """The texts of the pictures that a call returned without a recorded call of the network."""
        run, prompts = call.run, listed(call.given.get("prompt")) or list(self.prompts) or [""]
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
        one of them more often than the scheduler repeats any (if the call uses it): the others drew something else."""
        if self.pipe is None or not call.levels:  # the scheduler of a loop of one's own is unknown
            return
        levels, at_one, in_all = torch.cat(call.levels).cpu(), 1, len(call.levels)
        steps = getattr(getattr(self.pipe, "scheduler", None), "timesteps", None)
        if torch.is_tensor(steps) and len(steps):
            steps = steps.to(levels)
            for given in (steps, steps / 1000, 1 - steps / 1000):  # as networks are given them
                near = torch.isclose(given.float(), levels[:, None].float(), rtol=4e-3, atol=1e-4)  # in bfloat16, too
                if near.any(1).all():
                    at_one, in_all = _repeats(given), len(steps)
                    break
        if call.rows.is_negative and not call.rows.in_one_batch:  # which call is the prompt's makes no difference
            at_one, in_all = 2 * at_one, 2 * in_all
        if _repeats(levels) > at_one or len(levels) > in_all:
            times = f"{len(levels)} times, {_repeats(levels)} times at one step"
            problem = f"the network was given the prompt {times}: {OVERLAPPING}"
            raise UserError("picture", problem, "draw without the other calls")

    def _tell_of_other_texts(self, call: Call) -> None:
        """Say that some timesteps had no call with the prompt."""
        levels, others = ({level for one in each for level in one.tolist()} for each in (call.levels, call.others))
        if others - levels:
            count = f"at {len(levels)} of {len(others | levels)} timesteps (a callback that changes it?)"
            warnings.warn(
                Notice(f"the network was given the prompt {count}: maps are the means of these"), stacklevel=2
            )

    def _pass_over(self) -> None:
        for recorder in self.recorders:
            recorder.pass_over()

    def _restart(self) -> None:
        for recorder in self.recorders:
            recorder.restart()

    def results(self) -> list[Run]:
        """The finished runs; that of a network alone ends where they are asked for."""
        if self.pipe is None:
            self.finish()
        return self.finished


def _repeats(levels: torch.Tensor) -> int:
    """How often the most frequent of some timesteps is there."""
    return max(Counter(levels.tolist()).values(), default=0)


def _first(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of some inputs that is there."""
    return next((given[name] for name in names if given.get(name) is not None), None)


def _maps(recorder: AttentionRecorder, run: Run) -> list[AttentionMaps]:
    """The maps of a run, on the CPU."""
    prompts = [text.texts.get("prompt", "") for text, _ in product(run.texts, range(recorder.frames))]
    try:
        return [maps.cpu() for maps in recorder.maps([{}] * len(prompts), prompts)]
    except UserError as error:
        if error.subject != "dtype":  # attention that is not a number
            raise
        raise UserError("the network", error.problem, "pipe.to(torch.float32), or torch.bfloat16, first") from error
