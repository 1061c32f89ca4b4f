"""`Listener`: hears of what a captured pipeline and its network do, and begins and ends runs.

pipe(…) ─▶ Listener.draw ─▶ the pipeline's own call, in which
               encode_prompt(…) ─▶ note_encoding ─▶ Encodings.note                       (encodings.py)
               network(…) ─▶ before_network ─▶ RunRecorder.record                        (run_recorder.py)
                                 ─▶ TextRecording.find, of the prompt and of the negative prompt, then record
                                                                          (recording.py, which_rows.py)
           _end ─▶ RunRecorder.close ─▶ Run                                              (run.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UserError
from .run import Run
from .run_recorder import THE_WAY, Block, RunRecorder


class Listener:
    """Listens to a pipeline and its network."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.run: RunRecorder | None = None
        """The run that is under way."""
        self.passed_over = False
        """Whether the network ran outside of the pipeline's calls."""
        self._encoded_outside = False
        """Whether the pipeline encoded a text outside of its calls, since the last one."""

    def draw(self, arguments: Mapping[str, Any], call_pipeline: Callable[[], Any]) -> Any:
        """Let the pipeline draw, and return its result. arguments: the arguments of the pipeline's call, by name. If
        an error ends the call, it leaves no `Run`."""
        if self.run is not None:
            self.run.check_thread()
            if self.run.prompt.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        self.run = run = RunRecorder(self.block, arguments)
        self._encoded_outside = False
        try:
            with run.keeping_errors():
                run.encode_negative()
            output = call_pipeline()
        except BaseException:
            self.run = None
            self.block.restart()
            raise
        self._end(output)
        return output

    def note_encoding(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Called after the pipeline's `encode_prompt`, with its arguments by name."""
        run = self.run
        if run is None or not run.is_here:
            self._encoded_outside = True
        elif not run.prompt.steps:  # a text that a callback encodes is not the prompt
            with run.keeping_errors():
                run.encodings.note(arguments, output)

    def note_placing(self, name: str, arguments: Mapping[str, Any], _output: Any) -> None:
        """Called after a method in PLACING, with its arguments by name."""
        if self.run is not None:
            with self.run.keeping_errors():
                self.run.placing.note(name, arguments)

    def before_network(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Forward pre-hook of the network: decides which rows of its call are recorded."""
        if self.run is not None:
            self.run.check_thread()
        for recorder in self.block.recorders:
            recorder.pass_over()  # unless the call turns out to have its text
        if self.run is None and self.block.pipe is not None:
            if self._encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.passed_over = True  # another pipeline with the same network
            return
        self.run = self.run or RunRecorder(self.block, {})
        if self.block.recorder.error is None:
            with self.run.keeping_errors():
                self.run.record(network, args, kwargs)

    def _end(self, output: Any = None) -> None:
        """End the run that is under way, if any."""
        run, self.run = self.run, None
        if run is not None:
            drawn = run.close(output)
            self.block.restart()
            if drawn is not None:
                self.block.runs.append(drawn)

    def results(self) -> list[Run]:
        """The runs that have ended. The run of a network alone ends where its results are requested."""
        if self.block.pipe is None:
            self._end()
        return self.block.runs
