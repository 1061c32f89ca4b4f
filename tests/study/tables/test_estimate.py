"""Costs before anything is done: counted on the networks, in proportion to what is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from seediff.cli import main
from seediff.config.train import make_config
from seediff.errors import UserError
from seediff.study.tables import estimate as estimates
from seediff.study.tables.definition import packaged, read_table
from seediff.study.tables.estimate import STABLE_DIFFUSION, estimate, network_cost, operations, set_shape


def test_operations_are_those_of_a_product():
    import torch

    a, b = (torch.empty(shape, device="meta") for shape in ((3, 5), (5, 7)))
    assert operations(lambda: a @ b) == 2 * 3 * 5 * 7


def test_the_embedded_model_is_counted_and_stable_diffusion_known():
    table = read_table(packaged("strategy", "embedded"))
    shape = set_shape(table.sets["main"])
    assert (shape["side"], shape["latent"], shape["levels"]) == (128, 32, (32, 16, 8))
    assert 1e8 < shape["unet"] < 1e10
    assert set_shape(replace(table.sets["main"], model="sd2-base")) == STABLE_DIFFUSION


def test_cost_of_a_table():
    table = read_table(packaged("strategy", "embedded"))
    found = estimate(table, (0, 1, 2), {}, tflops=0.5)
    drawing, *trainings = found.costs
    assert len(trainings) == 3
    assert {cost.times for cost in trainings} == {3}
    assert found.tflops == 0.5
    assert found.hours(1.8e15) == pytest.approx(1.0)
    half = estimate(table.scaled(0.5), (0,), {}, tflops=0.5)
    assert half.costs[1].operations == pytest.approx(trainings[0].operations / 2)
    config = make_config({"backbone": "tiny"})
    forward, parameters = network_cost(config)
    assert trainings[0].operations == pytest.approx(1000 * 12 * 3 * forward)
    assert parameters > 1e5
    assert drawing.operations > 1000 * 20 * set_shape(table.sets["main"])["unet"]


def test_a_training_that_two_rows_share_is_counted_once():
    costs = estimate(read_table(packaged("main", "embedded")), (0,), {}, tflops=1.0).costs
    assert [cost.times for cost in costs] == [1] * len(costs)
    assert len({cost.what for cost in costs}) == len(costs) == 1 + 12


def test_every_drawing_and_every_setting_is_counted():
    scale = read_table(packaged("scale", "embedded"))
    assert estimate(scale, (0,), {}, tflops=1.0).costs[0].times == 4
    table = read_table(packaged("strategy", "embedded"))
    first = table.rows[0]
    faster = replace(table, rows=(first, replace(first, name="faster", settings={"learning_rate": 0.01})))
    assert len(estimate(faster, (0, 1), {}, tflops=1.0).costs) == 1 + 2
    table = read_table(packaged("augmentation", "embedded")).only_rows(("SeeDiff", "SeeDiff, augmented"))
    augmented = estimate(table, (0,), {}, tflops=1.0)
    (more,) = [cost for cost in augmented.costs if cost.what.startswith("augment")]
    assert more.disk > 0
    plain, longer = augmented.costs[-2:]
    assert longer.operations == pytest.approx(plain.operations)  # half as many images again, two thirds of the epochs


def test_a_rate_must_be_one():
    with pytest.raises(UserError, match=r"--tflops 0: must be above 0"):
        estimate(read_table(packaged("strategy", "embedded")), (0,), {}, tflops=0)


def test_a_dry_run_measures_the_device_that_is_asked_for(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(estimates, "sustained", lambda device: asked.append(device) or 1.0)
    for device in ("cpu", None):
        given = ["--device", device] if device else []
        assert main(["study", "strategy", "--dry-run", "--work", str(tmp_path), *given]) == 0
    assert asked == ["cpu", None]
    monkeypatch.undo()
    with pytest.raises(UserError, match="device 'cuda:99' is not there"):
        estimates.sustained("cuda:99")
