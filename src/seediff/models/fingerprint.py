"""The fingerprint of loaded weights, by which a continued run recognises whether its model is still the same: of the
tensors themselves, wherever they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

WHOLE, SAMPLES = 4096, 64
"""Tensors of fewer than WHOLE values are read whole. Of others, SAMPLES evenly spaced values are read, which is enough,
because further training changes values everywhere."""


def weights_fingerprint(networks: Mapping[str, Any]) -> str:
    """A text that identifies weights and configurations, and changes when any of them changes. networks: name → the
    module, before its weights are quantised or moved to a GPU."""
    import torch

    digest = hashlib.sha256()
    for part, network in sorted(networks.items()):
        config = network.config if isinstance(network.config, Mapping) else network.config.to_dict()
        shown = {key: value for key, value in config.items() if not key.startswith("_")}
        digest.update(f"{part}{json.dumps(shown, sort_keys=True, default=str)}".encode())
        for name, tensor in sorted(network.state_dict().items()):
            values = tensor.as_subclass(torch.Tensor).flatten()
            step = len(values) // SAMPLES if len(values) >= WHOLE else 1
            digest.update(f"{name}{[*tensor.shape]}{tensor.dtype}".encode())
            digest.update(values[::step].contiguous().view(torch.uint8).numpy().tobytes())
    return "sha256:" + digest.hexdigest()[:32]
