"""The plan of a capture for a loaded network or model, without saying its family."""

from contextlib import contextmanager

from seediff.attention.network import record_attention
from seediff.attention.plan import plan_capture
from seediff.config.methods import CaptureConfig
from seediff.models.families import network_family


def plan_of(loaded, capture=CaptureConfig(), **more):  # noqa: B008
    """loaded: a network, or a Model. more: arguments of `plan_capture`."""
    network = getattr(loaded, "network", loaded)
    family = getattr(loaded, "family", None) or network_family(network)
    return plan_capture(family, family.layers(network), capture, **more)


def with_plan(model, options):
    """Options of a test, with `capture` and `reads` made into the plan."""
    planned = {name: options[name] for name in ("capture", "reads") if name in options}
    return {
        **{name: value for name, value in options.items() if name not in planned},
        "plan": plan_of(model, **planned),
    }


@contextmanager
def capturing(
    network,
    capture=CaptureConfig(),  # noqa: B008
    *,
    reads=None,
    per_layer=False,
    **how,
):
    """`record_attention` of a network's own plan. per_layer: keep the map of each layer. how: its other arguments."""
    with record_attention(network, plan_of(network, capture, reads=reads), **how) as recorder:
        if per_layer:
            recorder.apart = "layer"
            recorder.restart()
        yield recorder


def layer_maps(recorder, kind, image):
    """(h, w) → layer name → (N, T) for one image, averaged over steps."""
    grids = {}
    for name, maps in recorder.maps_apart([""] * recorder.calls.latest.images)[image].items():
        for of_kind, grid, tensor in maps.tensors():
            if of_kind == kind:
                grids.setdefault(grid, {})[name] = tensor
    return dict(sorted(grids.items(), reverse=True))


def expected_of(loaded, capture=CaptureConfig(), *, size, **more):  # noqa: B008
    """What `plan_of` expects of an image of this size."""
    return plan_of(loaded, capture, **more).expected(size)
