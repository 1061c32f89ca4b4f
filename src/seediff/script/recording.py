"""`TextRecording`: records attention to one text of each picture during one run."""

from __future__ import annotations

from itertools import chain, product
from typing import Any

from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..masks.clips import frame_weights
from ..models.families.family import NetworkInputs
from .run import Attention, ReadText
from .which_rows import Encoded, Rows, find_rows

KNOWN_CALLS = 3
"""How many calls' rows are kept, because the next step's calls may have the same states."""


class TextRecording:
    """Records attention to one text of each picture during one run: to the prompt, or to the negative prompt.

        network(inputs) ─▶ find ─▶ Rows ─▶ record ─▶ AttentionRecorder.begin_call, with these rows
        close ─▶ AttentionRecorder.maps ─▶ Attention

    recorder: it also keeps the first error, after which it records nothing.
    """

    def __init__(self, recorder: AttentionRecorder) -> None:
        self.recorder = recorder
        self.encoded = Encoded((), rule="any")
        """The texts that are searched for in batches; none until they are known."""
        self.texts: list[ReadText] = []
        """The text of each picture, once a call of the network had it."""
        self.steps = 0
        """How often the network was called with the text."""
        self.are_twice = False
        """As in `Rows`, of any call."""
        self.map_bytes = 0
        """Bytes of what `close` returned."""
        self._known: list[tuple[Any, list[int], Rows]] = []
        """(states, their versions, rows) of the last KNOWN_CALLS calls of the network."""

    def find(self, states: Any, inputs: NetworkInputs) -> Rows:
        """The rows with the text in a call of the network, as `find_rows` finds them."""
        versions = _versions(states)
        for known, of_known, rows in self._known:
            if known is states and of_known == versions:
                return rows
        rows = find_rows(self.encoded, states, inputs, was_seen=bool(self.texts))
        self._known = [(states, versions, rows), *self._known[: KNOWN_CALLS - 1]]
        return rows

    def record(self, rows: Rows, states: Any, *call_of_network: Any) -> None:
        """Record these rows of a call of the network, if there are any."""
        if not rows.numbers:
            return
        if not self.texts:
            for row, text in zip(rows.numbers, rows.texts, strict=True):
                self.texts.append(ReadText(self.encoded.texts_of(text), len(states[row])))
        self.recorder.begin_call(*call_of_network, rows=rows.numbers)
        self.are_twice |= rows.are_twice
        self.steps += 1

    def close(self, frames: int) -> list[Attention]:
        """What was recorded, for each picture, or for each of the frames of each clip: there, attention is that of the
        nearest of its clip's latent frames. Raises UserError for an error that was kept, and for attention that was not
        a number."""
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
        attention: list[Attention] = []
        for clip, latent in product(range(len(self.texts)), frame_weights(frames, latents).argmax(1)):
            number = clip * latents + latent
            attention.append(Attention(self.texts[clip], maps[number], apart[number]))
        return attention


def _versions(states: Any) -> list[int]:
    """How often each tensor was changed in place, which PyTorch does not count in `inference_mode`."""
    return [one._version for one in states if not one.is_inference()]  # those of a batch share its number
