import warnings
from types import SimpleNamespace

import pytest
import torch
from builders.refusals import user_error

from seediff.attention.plan import plan_capture
from seediff.attention.recorder import AttentionRecorder
from seediff.models.families import network_family
from seediff.script.run_checks import check_memory, check_timesteps, warn_of_further_calls, warn_of_other_texts


@pytest.mark.parametrize(
    ("scheduler", "calls", "is_right"),
    [
        ([900, 500, 100], [0.9, 0.5, 0.1], True),  # as flow matching scales them
        ([900, 500, 500, 100], [900, 500, 500, 100], True),
        ([900, 500, 100], [900, 900], False),
        ([900, 500, 500, 100], [900, 900, 500, 500, 100], False),
        ([900, 500, 500, 100], [800, 800], False),  # a loop has timesteps of its own
        ([900, 500, 100], [0, 900, 500, 100], False),  # a reference
        ([900], [900, 450], False),
        ([900, 500, 100], [900, 800, 700, 600], True),  # by chance, one is the scheduler's
        (None, [800, 400], True),
    ],
)
def test_as_many_calls_as_the_scheduler_has_timesteps(scheduler, calls, is_right):
    given = SimpleNamespace(timesteps=None if scheduler is None else torch.tensor(scheduler))
    if is_right:
        check_timesteps(given, torch.tensor(calls))
        return
    with user_error(rf"^picture: the network was given the prompt {len(calls)} times, \d times at one step"):
        check_timesteps(given, torch.tensor(calls))


def test_a_call_at_each_timestep():
    given = SimpleNamespace(timesteps=torch.tensor([900, 500, 100]))
    check_timesteps(given, torch.tensor([900, 500, 100]), is_each=True)
    with user_error("^negative_prompt: equals a prompt"):
        check_timesteps(given, torch.tensor([900, 100]), is_each=True)


HEUN = SimpleNamespace(timesteps=torch.tensor([900, 500, 500, 100, 100]))


@pytest.mark.parametrize(
    ("with_prompt", "without", "told"),
    [
        ([900, 500, 100], [500, 100], True),
        ([900, 100, 100], [500, 500], True),
        ([900, 500, 500, 100, 100], [900, 500, 500, 100, 100], False),  # guidance in two calls
        ([500, 100, 100], [500, 100, 100], False),  # from the middle of the first two calls on
        ([900, 500, 500, 100, 100], [], False),
    ],
)
def test_a_prompt_that_takes_turns_with_another(with_prompt, without, told):
    assert notices(warn_of_other_texts, HEUN, torch.tensor(with_prompt), torch.tensor(without)) == told


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ([900, 500, 100], False),
        ([0.1, 0.5, 0.9], False),  # an inversion, or a scale that rises
        ([900, 500, 500, 100, 100], False),  # Heun
        ([0.7], False),
        ([100, 500, 900, 500, 100], True),  # an inversion before
        ([900, 900, 500, 500], True),  # a third prediction, or a reference
        ([900, 500, 500, 500], True),
        ([900, 500, 900, 500], True),  # two pictures
    ],
)
def test_calls_of_a_loop_that_are_no_pictures_own(calls, told):
    assert notices(warn_of_further_calls, torch.tensor(calls)) == told


def test_half_precision_rounds_neighbours_to_one_timestep():
    assert not notices(warn_of_further_calls, torch.linspace(1, 0.5, 400).bfloat16())


def notices(check, *given):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check(*given)
    return len(found) == 1


def test_a_network_that_waits_in_the_computers_memory(sd1_model, monkeypatch):
    """The card is asked where the text is, with what torch holds free of it."""
    network, asked = sd1_model.pipe.unet, []
    known = {"memory_reserved": 3000, "memory_allocated": 1000, "mem_get_info": (500, 9999)}
    for name, value in known.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: asked.append(device) or value)
    family = network_family(network)
    plan = plan_capture(family, family.layers(network))
    with user_error(r"2\.5 kB of memory are there"):
        check_memory(None, [(AttentionRecorder(plan, guidance=False), (8, 8))], (8, 8), 1, torch.device("cuda:1"), 0)
    assert set(asked) == {torch.device("cuda:1")}
