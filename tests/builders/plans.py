"""The plan of a capture for a loaded network or model, without saying its family."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import torch

from seediff.attention.capture import capture_attention
from seediff.attention.maps import Grid
from seediff.attention.plan import CapturePlan, Expected, plan_capture
from seediff.attention.recorder import KINDS, AttentionRecorder, Kind
from seediff.config.constants import CaptureConfig
from seediff.config.levels import Reads
from seediff.models.families import network_family


def plan_of(loaded: Any, capture: CaptureConfig = CaptureConfig(), **more: Any) -> CapturePlan:  # noqa: B008
    """loaded: a network, or a Model. more: arguments of `plan_capture`."""
    network = getattr(loaded, "network", loaded)
    family = getattr(loaded, "family", None) or network_family(network)
    return plan_capture(family, network.config, capture, **more)


def with_plan(model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a test, with `capture` and `reads` made into the plan."""
    planned = {name: options[name] for name in ("capture", "reads") if name in options}
    return {
        **{name: value for name, value in options.items() if name not in planned},
        "plan": plan_of(model, **planned),
    }


@contextmanager
def capturing(
    network: Any,
    capture: CaptureConfig = CaptureConfig(),  # noqa: B008
    *,
    reads: Reads | None = None,
    per_layer: bool = False,
    **how: Any,
) -> Any:
    """`capture_attention` of a network's own plan. per_layer: keep the map of each layer. how: its other arguments."""
    with capture_attention(network, plan_of(network, capture, reads=reads), **how) as recorder:
        if per_layer:
            recorder.by_layer = KINDS
        yield recorder


def layer_maps(recorder: AttentionRecorder, kind: Kind, image: int) -> dict[Grid, dict[str, torch.Tensor]]:
    """(h, w) → layer name → (N, T) for one image, averaged over steps."""
    return {
        grid: {name: tensor[image] for name, tensor in maps.items()} for grid, maps in recorder.layers(kind).items()
    }


def expected_of(loaded: Any, capture: CaptureConfig = CaptureConfig(), **more: Any) -> Expected:  # noqa: B008
    """What `plan_of` expects, with its `size` and `pipeline` in `more`."""
    expected = plan_of(loaded, capture, **more).expected
    assert expected is not None
    return expected
