"""What attention modules give out at every position of the picture, for methods that compare positions by it: mean over steps, (N, D)."""

from __future__ import annotations

from typing import Any

import torch

from ..models.compiled import Listen
from ..models.families.base import Joint, Layer
from .recorder import AttentionRecorder


class OutputLayer:
    """The hook of one attention module: after its last projection, where it has one."""

    def __init__(self, name: str, layer: Layer, recorder: AttentionRecorder) -> None:
        self.name = name
        self.layer = layer
        self.recorder = recorder

    def hook(self, attention: Any, listen: Listen) -> list[Any]:
        """Register the hook by `listen(module, hook)`; its handle."""
        return [listen(attention, self.keep)]

    def keep(self, _module: Any, _args: Any, output: Any) -> None:
        recorder = self.recorder
        if not recorder.recording:
            return
        states: torch.Tensor = output[0] if isinstance(output, tuple) else output  # of two streams, the picture's is the first
        states = recorder.conditional(states.detach())
        if isinstance(self.layer, Joint) and states.shape[1] != recorder.positions:  # one stream
            states = states[:, self.layer.parts(states.shape[1], recorder.positions)[0]]
        recorder.add_output(self.name, states)
