"""Which calls of the network belong to a picture: those between the begin and the end of a call of the pipeline, whose
batch has rows with the prompt.

A run is one call of the pipeline, or the whole block around a network alone. What is found wrong before its first step
ends the call. What is found later ends no drawing: it is kept as the run's error, told once, and raised where maps are
requested.
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

from ..attention.networks import OVERLAPPING, check_processors
from ..attention.recorder import AttentionRecorder
from ..errors import Notice, UserError
from ..models.families.family import named_inputs
from .run import Run
from .which_rows import STATES, PromptRows, encode_texts, listed

THE_WAY = (
    "capture the pipeline that draws, or, for a loop of your own, the network, in one `with` block for each picture:"
    " capture(pipe.unet, prompt='…', tokenizer=pipe.tokenizer, states=prompt_embeds)"
)
"""What to do where the network runs outside of the captured pipeline's calls."""
HERE = "the network's call"
NEW_BLOCK = "open a new `with` block after that"


@dataclass
class Call:
    """A call of the pipeline that is under way, or the block around a network alone.

    rows: finds the prompt's. given: the call's arguments. levels, others: the timestep of each call of the network with
    the prompt, and of the others. negative: finds the negative prompt's rows, if they are captured. thread: the call's
    own.
    """

    rows: PromptRows
    given: Mapping[str, Any] = field(default_factory=dict)
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
    encoded states, if the script named them. check: called with (height, width) of L, the number of images, the device
    and the bytes of earlier maps before anything of a run is recorded; raises UserError. negative: records the negative
    prompts, if they are captured.
    """

    def __init__(
        self,
        recorder: AttentionRecorder,
        networks: Sequence[Any],
        pipe: Any,
        prompts: Sequence[str],
        states: Any,
        check: Callable[..., None],
        negative: AttentionRecorder | None = None,
    ) -> None:
        self.recorder, self.networks, self.pipe, self.negative = recorder, networks, pipe, negative
        self.prompts, self.states, self.check = prompts, states, check
        self.finished: list[Run] = []
        self.call: Call | None = None
        self.passed_over = False
        """Whether the network ran outside of the pipeline's calls."""
        self._encoded_outside = False
        """Whether the pipeline encoded a text outside of its calls, since the last one."""
        self._encodes = False
        """Whether capture itself encodes a text now."""

    @property
    def held(self) -> int:
        """Bytes of the maps of finished runs."""
        negatives = [run.negative for run in self.finished if isinstance(run.negative, Run)]
        maps = chain.from_iterable(run.maps for run in (*self.finished, *negatives))
        each = {id(one): one for one in maps}  # frames share some
        return sum(tensor.nbytes for *_, tensor in chain.from_iterable(one.tensors() for one in each.values()))

    # What the pipeline does

    @contextmanager
    def follow(self, given: Mapping[str, Any]) -> Iterator[Run]:
        """Follow one call of the pipeline, with these arguments. A call that an error ends is no run."""
        if self.call is not None:
            self.call.check_thread()
            if self.call.run.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        call = self.call = self._begin_run(given)
        with self._encoding():
            call.rows.encode()
            if self.negative is not None:
                self._encode_negative(call)
        call.run.placing.must_crop = given.get("padding_mask_crop") is not None
        self._encoded_outside = False
        try:
            yield call.run
        except BaseException:
            self.call = None
            self._restart()
            raise
        self.finish()

    def _begin_run(self, given: Mapping[str, Any]) -> Call:
        return Call(PromptRows(self.recorder.family, self.pipe, self.prompts, self.states, given), given)

    def note_encoding(self, given: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `encode_prompt`. given: its arguments by name."""
        call = self.call
        if self._encodes:
            return
        if call is None or call.thread != threading.get_ident():
            self._encoded_outside = True
        elif not call.run.steps:  # a text that a callback encodes is not the prompt
            with self._encoding():
                call.rows.note(given, output)

    def note_placing(self, name: str, given: Mapping[str, Any], _output: Any) -> None:
        """Called after methods in PLACING."""
        if self.call is not None:
            self.call.run.placing.note(name, given)

    @contextmanager
    def _encoding(self) -> Iterator[None]:
        """Texts that are encoded inside are not the pipeline's."""
        self._encodes = True
        try:
            yield
        finally:
            self._encodes = False

    # What the network is given

    def begin(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides which rows of this call are recorded."""
        if self.call is not None:
            self.call.check_thread()
        for recorder in self._recorders:
            recorder.pass_over()
        if self.call is None and self.pipe is not None:
            if self._encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.passed_over = True  # another pipeline with the same network
            return
        call = self.call = self.call or self._begin_run({})
        if self.recorder.error is not None:
            return
        try:
            self._begin(call, network, args, kwargs)
        except Exception as error:
            for recorder in self._recorders:
                recorder.pass_over()
            if isinstance(error, UserError) and not call.run.steps:
                raise
            self.recorder.keep(error, HERE)

    def _begin(self, call: Call, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        # 1. The rows with the prompt
        given = named_inputs(network, args, kwargs)
        states = next((given[name] for name in STATES if given.get(name) is not None), None)
        family = self.recorder.family
        batch, height, width = family.lattice(network, given)
        frames = family.frames(given)
        if family.frames_in_rows and states is not None:
            states = states[::frames]  # one row for each clip
        if given.get("skip_layers") is not None:
            return
        with self._encoding():
            rows = call.rows.find(states, batch)

        # 2. What holds for the whole run
        run = call.run
        if rows is not None and not run.texts:
            check_processors(network)
            tensor = next(network.parameters()) if states is None else states[0]  # weights may be offloaded
            self.check((height, width), len(rows.numbers) * frames, tensor.device, self.held)
            run.texts, run.widths = list(rows.texts), list(rows.widths)
        if rows is not None:
            self.recorder.rows = rows.numbers
            self.recorder.start_step(network, args, kwargs)
            run.steps += 1
        self._note_level(call.others if rows is None else call.levels, given)
        found = None if call.negative is None or states is None else call.negative.find(states, batch)
        if self.negative is not None and found is not None:
            run.negative = Run(texts=list(found.texts), widths=list(found.widths))
            self.negative.rows = found.numbers
            self.negative.start_step(network, args, kwargs)

    def _note_level(self, levels: list[torch.Tensor], given: Mapping[str, Any]) -> None:
        """Remember the timestep of a call of the network. It is read when the run ends: a GPU would be waited for."""
        level = next((given[name] for name in ("timestep", "t") if given.get(name) is not None), None)
        if level is not None:
            levels.append(torch.as_tensor(level).detach().flatten()[:1].clone())

    # The negative prompt

    def _encode_negative(self, call: Call) -> None:
        """Encode the negative prompt as the pipeline encodes prompts, because words are located as in those."""
        texts, family = listed(call.given.get("negative_prompt")), self.recorder.family
        try:
            if not any(texts):
                problem = "is empty, or was not given as a text"
                raise UserError("negative_prompt", problem, "give the pipeline negative_prompt='…'")
            call.negative = PromptRows(family, self.pipe, texts, encode_texts(family, self.pipe, texts))
        except UserError as error:
            call.run.negative = error

    def _finish_negative(self, run: Run) -> None:
        """Give the run the maps of its negative prompts."""
        assert self.negative is not None
        if isinstance(run.negative, UserError):
            return
        try:
            if run.negative is None or self.negative.images != self.recorder.images:
                problem = "no row of the network's batches has it, encoded as prompts are, for each picture"
                raise UserError("negative_prompt", problem, "models that draw without guidance read none")
            run.negative.images, run.negative.maps = run.images, self._maps(self.negative, run.negative.texts)
        except UserError as error:
            run.negative = error

    # The end of a run

    def finish(self) -> None:
        """End the current call, if any, and move its run's maps to the CPU."""
        call, self.call = self.call, None
        if call is None:
            return
        run = call.run
        if not run.texts:
            self._name_pictures(call)
        try:
            if self.recorder.error is None and run.texts:
                self._finish(call)
        except Exception as error:  # raised when maps are requested, because the picture is unaffected
            if isinstance(error, UserError) and error.subject == "dtype":  # attention that is not a number
                error = UserError("the network", error.problem, "pipe.to(torch.float32), or torch.bfloat16, first")
            self.recorder.keep(error, HERE)
        run.error = self.recorder.error
        if run.error is not None:
            run.maps, run.negative = [], None
        if self.recorder.family.frames_at and run.texts:
            run.show_frames(self.recorder.frames)
            if isinstance(run.negative, Run):
                run.negative.show_frames(self.recorder.frames)
        self._restart()
        if run.texts:
            self.finished.append(run)

    def _finish(self, call: Call) -> None:
        run = call.run
        if not run.steps:
            raise self._explain_nothing()
        if self.recorder.graphs is not None:
            self.recorder.graphs.check_unchanged()
        self._check_calls(call)
        self._tell_of_other_texts(call)
        clips, rest = divmod(len(run.images), run.count)
        if rest or (clips > 1 and not self.recorder.family.frames_at):
            problem = f"the pipeline returned {len(run.images)}, and {run.count} rows of a batch had the prompt"
            raise UserError("pictures", problem, "which rows draw them is unknown: draw one at a time")
        run.maps = self._maps(self.recorder, run.texts)
        if self.negative is not None:
            self._finish_negative(run)

    def _maps(self, recorder: AttentionRecorder, texts: Sequence[Mapping[str, str]]) -> list[Any]:
        prompts = [text.get("prompt", "") for text, _ in product(texts, range(recorder.frames))]
        return [maps.cpu() for maps in recorder.maps([{}] * len(prompts), prompts)]

    def _name_pictures(self, call: Call) -> None:
        """The texts of the pictures that a call returned without a recorded call of the network."""
        run, prompts = call.run, listed(call.given.get("prompt")) or list(self.prompts) or [""]
        count = len(run.images) if self.pipe is not None else int(self.states is not None)
        run.texts = [{"prompt": prompts[number * len(prompts) // count]} for number in range(count)]
        run.widths = [0] * count

    def _explain_nothing(self) -> UserError:
        """Why no call of the network was recorded, although pictures were drawn."""
        if self.pipe is None:
            return UserError("states", "no call of the network was given them")
        current = [getattr(self.pipe, name, None) for name in (self.recorder.family.network, "transformer_2")]
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
        if call.rows.prompt is not None and call.rows.is_negative:  # which call is the prompt's makes no difference
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

    @property
    def _recorders(self) -> list[AttentionRecorder]:
        return [self.recorder] if self.negative is None else [self.recorder, self.negative]

    def _restart(self) -> None:
        for recorder in self._recorders:
            recorder.restart()

    def results(self) -> list[Run]:
        """The finished runs; that of a network alone ends where they are asked for."""
        if self.pipe is None:
            self.finish()
        return self.finished


def _repeats(levels: torch.Tensor) -> int:
    """How often the most frequent of some timesteps is there."""
    return max(Counter(levels.tolist()).values(), default=0)
