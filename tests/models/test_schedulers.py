import numpy as np
import pytest
from builders.families import GUIDANCE, generate, plain
from builders.refusals import user_error

from seediff.models.families import families
from seediff.models.families.family import FlowMatching
from seediff.models.families.flux import FLUX
from seediff.models.families.unet import SDXL
from seediff.models.schedulers import SCHEDULERS, check_scheduler, use_scheduler


@pytest.fixture(scope="module")
def model(loaded):
    return loaded("xl")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (kind, _) in SCHEDULERS.items() if not kind.startswith("FlowMatch")])
def test_every_scheduler_draws_what_it_draws_without_capture(name, model):
    use_scheduler(model.pipe, name)
    assert type(model.pipe.scheduler).__name__ == SCHEDULERS[name][0]
    assert dict(model.pipe.scheduler.config).items() >= SCHEDULERS[name][1].items()
    assert model.pipe.scheduler.config["beta_end"] == 0.012  # of the model's own
    if name in ("dpm++-sde", "euler-trailing", "heun", "lcm"):  # random, plain, of two predictions a step, of few steps
        images, _ = generate(model)
        assert np.array_equal(np.stack(images), plain(model, guidance_scale=GUIDANCE))


def test_schedulers_of_another_kind_are_refused():
    for family in families():
        other = "euler" if isinstance(family, FlowMatching) else "flow-euler"
        with user_error(f"scheduler: {other}: .* was trained for other schedulers"):
            check_scheduler(family, other)
    with user_error(
        "scheduler: flow-heun: does not accept noise levels, which pipelines of FLUX.1 set; use flow-euler"
    ):
        check_scheduler(FLUX, "flow-heun")
    with user_error(r"scheduler: eulr: is not known \(did you mean 'euler'\?\); known: ddim"):
        check_scheduler(SDXL, "eulr")
