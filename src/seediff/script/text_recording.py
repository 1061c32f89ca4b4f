"""`TextRecording`: records attention to one kind of text during one run, and `Block`: what a `with` block captures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from ..attention.maps import Grid
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..files.messages import plural
from ..masks.clips import frame_weights
from ..models.families.family import Family
from ..models.families.inputs import NetworkInputs
from .encodings import NamedText
from .run import Attention, Run, TextKind
from .which_columns import ReadText, behind_pictures, read_text
from .which_rows import NO_TEXT, Encoded, find_rows

KNOWN_CALLS = 3
"""For how many calls of the network the rows are remembered. The next step's calls may have the same states."""


@dataclass(frozen=True)
class Block:
    """What a `with` block captures, and the runs that have ended."""

    pipe: Any
    """The pipeline; None if the script captures a network alone."""
    family: Family
    networks: Sequence[Any]
    """The pipeline's networks: one, or two that take turns."""
    named: NamedText
    """What the script says about the text."""
    recorders: Mapping[TextKind, AttentionRecorder]
    """The recorder of attention to the prompts, and perhaps others for the negative prompts and for shown pictures."""
    knows_order: bool
    """Whether the pipeline is of a class that the family names: then the family's word tells equal rows apart."""
    runs: list[Run] = field(default_factory=list)
    """The runs that have ended."""

    def restart(self) -> None:
        """Discard the maps that are being recorded, and any error."""
        for recorder in self.recorders.values():
            recorder.restart()


@dataclass
class TextRecording:
    """Records attention to one kind of text during one run: to the prompts, or to the negative prompts. Or that of a
    shown picture to the prompts."""

    block: Block
    recorder: AttentionRecorder
    """Sums up the maps. It keeps the first error, and then records nothing more."""
    encoded: Encoded = NO_TEXT
    """The encoded texts, one per picture; empty until they are known."""
    texts: list[ReadText] = field(default_factory=list)
    """The text of each picture; empty until a call of the network had it."""
    known: list[tuple[list[Any], list[int], dict[int, int]]] = field(default_factory=list)
    """(states, their versions, rows) of the last KNOWN_CALLS calls of the network. It keeps these states alive, so that
    no other states can take their place in memory."""

    @property
    def steps(self) -> int:
        """The number of network calls with the text."""
        return self.recorder.calls.count

    @contextmanager
    def raise_later(self) -> Iterator[None]:
        """Inside the `with` block, keep a UserError until the script wants this text's maps."""
        try:
            yield
        except UserError as error:
            self.recorder.error = self.recorder.error or error

    def check_shown(self, shown: Sequence[Grid]) -> None:
        """Raise UserError unless the network call has the shown picture of this recording. shown: (height, width) of
        each picture that the network is shown."""
        number = self.recorder.shown
        assert number is not None
        if number >= len(shown):
            raise UserError("shown", f"{number + 1}: the network is shown {plural(len(shown), 'picture')}")

    def find(self, states: Any) -> dict[int, int]:
        """Row → the number of its text, for the rows of a network call that have one of the texts (`find_rows`).
        states: the state of each row, which is the encoding of its text. The same states as in one of the last calls
        are not compared again, because comparing waits for the GPU."""
        # A version counts how often a tensor was changed in place; PyTorch does not count in `inference_mode`.
        versions = [one._version for one in states if not one.is_inference()]
        parts = [*states] if isinstance(states, list | tuple) else [states]  # a list may change
        for known, known_versions, rows in self.known:
            if [*map(id, known)] == [*map(id, parts)] and known_versions == versions:  # the very same, unchanged
                return rows
        block, was_seen = self.block, bool(self.texts)
        rows = find_rows(self.encoded, states, block.family, was_seen=was_seen, knows_order=block.knows_order)
        if len(versions) == len(states):
            self.known = [(parts, versions, rows), *self.known[: KNOWN_CALLS - 1]]
        return rows

    def begin_call(self, rows: Mapping[int, int], states: Any, inputs: NetworkInputs, *call_of_network: Any) -> None:
        """Record the network call that runs next, in these rows (`AttentionRecorder.begin_call`); without any row, do
        nothing. The first call with the text also says what its columns mean (`read_text`).

        rows: row → the number of its text, from `find`. states: the state of each row. inputs: the call's inputs.
        call_of_network: the network, its arguments and its keyword arguments.
        """
        if not rows:
            return
        block = self.block
        if not self.texts:
            columns = 0
            if "cross" in self.recorder.plan.reads:
                columns = block.family.text_columns_of_call(inputs) or 0
            shows = bool(block.family.shown(inputs)) and block.family.reads_shown
            for row, number in rows.items():
                texts, state_columns = self.encoded.texts_of(number), len(states[row])
                text = read_text(block.pipe, block.family, block.named, texts, state_columns, columns)
                if shows:
                    text = behind_pictures(text, self.encoded.processed_of(number), state_columns)
                self.texts.append(text)
        numbers: Sequence[int] = [*rows]
        if len(numbers) == numbers[-1] + 1 - numbers[0]:
            numbers = range(numbers[0], numbers[-1] + 1)  # capture takes a range of rows without a copy
        self.recorder.begin_call(*call_of_network, rows=numbers)

    def attention(self, frames: int) -> list[Attention]:
        """Attention to the text of each picture, or of each frame of each clip. It ends the recording.

        frames: the number of frames of each clip; 1 for images. The network works on fewer latent frames, and each
        frame has the attention of its nearest latent frame. Raises the kept UserError, and UserError for attention that
        is not a number.
        """
        latents = self.recorder.calls.latest.frames
        texts = [text for text in self.texts for _ in range(latents)]
        prompts = [text.prompt for text in texts]
        try:
            maps = [each.cpu() for each in self.recorder.maps([{}] * len(prompts), prompts)]
        except UserError as error:
            if error.subject != "dtype":  # attention that is not a number
                raise
            raise UserError("the network", error.problem, "pipe.to(torch.float32), or torch.bfloat16, first") from error
        apart = [{name: each.cpu() for name, each in of.items()} for of in self.recorder.maps_apart(prompts)]
        of_latents = list(map(Attention, texts, maps, apart))
        nearest = frame_weights(frames, latents).argmax(1)
        return [of_latents[clip * latents + latent] for clip, latent in product(range(len(self.texts)), nearest)]
