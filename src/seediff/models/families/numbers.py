"""How many numbers are in memory while a family draws, from which `models/footprint.py` computes the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Numbers(NamedTuple):
    """step: at the peak of a call of the network, per row, position of L and channel. channels: of a position, where
    config.json does not tell. decoded: per pixel of a picture that is decoded, 5 · 256 of AutoencoderKL, as a GPU's
    convolutions copy what they read and write. in_float32: whether pictures are decoded in float32 instead of float16.

    Measured as torch's peaks on an H100, with the published shapes (benchmarks/calls.py).
    """

    step: float = 20.0
    channels: int = 3072
    decoded: float = 1280.0
    in_float32: bool = False

    def width(self, config: Mapping[str, Any]) -> int:
        """Channels of a position: of a transformer's states, or on a UNet's finest level."""
        heads, each = config.get("num_attention_heads"), config.get("attention_head_dim")
        if isinstance(heads, int) and isinstance(each, int):
            return heads * each
        finest = config.get("block_out_channels") or [self.channels]
        return config.get("hidden_size") or config.get("dim") or finest[0]
