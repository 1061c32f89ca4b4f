"""The fingerprint of loaded weights, by which a continued run recognises its model: of the tensors themselves, wherever
they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

LARGE, SAMPLES = 4096, 64
"""Of tensors with at least LARGE values, SAMPLES evenly spaced values count, which is enough, because further training
changes values everywhere. Of other tensors, all values count."""


def weights_fingerprint(networks: Mapping[str, Any]) -> str:
    """A text that identifies weights and configurations, and changes when any of them changes. networks: name → the
    module, before its weights are quantised."""
    import torch

    digest = hashlib.sha256()
    for part, network in sorted(networks.items()):
        config = network.config if isinstance(network.config, Mapping) else network.config.to_dict()
        settings = {key: value for key, value in config.items() if not key.startswith("_")}
        digest.update(f"{part}{json.dumps(settings, sort_keys=True, default=str)}".encode())
        for name, tensor in sorted(network.state_dict().items()):
            values = tensor.as_subclass(torch.Tensor).flatten()
            step = len(values) // SAMPLES if len(values) >= LARGE else 1
            digest.update(f"{name}{[*tensor.shape]}{tensor.dtype}".encode())
            digest.update(values[::step].contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return "sha256:" + digest.hexdigest()[:32]
