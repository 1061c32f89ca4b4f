"""The fingerprint of loaded weights, by which a continued run recognises whether its model is still the same: of the
tensors themselves, wherever they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SAMPLES = 64
"""Number of values that are read of a tensor. This is enough, because further training changes values everywhere."""


def weights_fingerprint(networks: Mapping[str, Any]) -> str:
    """A text that identifies weights and configurations, and changes when any of them changes. networks: name → the
    module, before its weights are quantised or moved to a GPU."""
    import torch

    digest = hashlib.sha256()
    for part, network in sorted(networks.items()):
        config = network.config if isinstance(network.config, Mapping) else network.config.to_dict()
        config = network.config if isinstance(network.config, Mapping) else network.config.to_dict()
        about: dict[str, Any] = {key: value for key, value in config.items() if not key.startswith("_")}
        for name, tensor in network.state_dict().items():
            values = tensor.as_subclass(torch.Tensor).flatten()
            some = values[:: max(1, len(values) // SAMPLES)].contiguous().view(torch.uint8)
            about[name] = [*tensor.shape, str(tensor.dtype), some.numpy().tobytes().hex()]
        digest.update(f"{part}{json.dumps(about, sort_keys=True, default=str)}".encode())
    return "sha256:" + digest.hexdigest()[:32]
