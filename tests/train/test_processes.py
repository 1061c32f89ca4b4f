import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from shapes import CLASSES, items, small

from seediff.cli import main
from seediff.config.train import make_config
from seediff.errors import UserError
from seediff.run.collect import write_native
from seediff.train import run
from seediff.train.data import Stage
from seediff.train.models import build_network
from seediff.train.predict import load_segmenter
from seediff.train.processes import Processes
from seediff.train.record import read_losses

STEPS, SECONDS = 3, 120
OPTIONS = (
    "--architecture segformer --backbone tiny --batch-size 2 --crop 64 --test-side 64 --scale 1,1 --warmup 0 "
    f"--steps {STEPS} --workers 0 --device cpu --dtype float32 --quiet"
).split()


@pytest.fixture
def line(tmp_path) -> list[str]:
    """What trains on toy scenes, all with as many labelled pixels, from weights of a network that drops nothing at random."""
    write_native(tmp_path / "scenes", CLASSES, items(6), about={})
    network = build_network(make_config({"architecture": "segformer", "backbone": "tiny"}), CLASSES)
    network.config.classifier_dropout_prob = 0.0
    network.save_pretrained(tmp_path / "first")
    return ["train", str(tmp_path / "scenes"), "--weights", str(tmp_path / "first"), *OPTIONS]


def run_in(count: int, line: list[str]) -> str:
    """Run a line in so many processes, all of which have ended when this returns. What they said."""
    script = Path(__file__).parents[1] / "builders" / "several.py"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = subprocess.Popen([sys.executable, str(script), str(count), *line], **pipes, env=environment, start_new_session=True)
    try:
        return started.communicate(timeout=SECONDS)[0]
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="accelerate is not installed: seediff[train]")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_two_processes_are_one_with_the_same_batches(tmp_path, line):
    # 1. One process, which sees each batch in two parts, as two processes do.
    assert main([*line, "--accumulate", "2", "--out", str(tmp_path / "one")]) == 0

    # 2. Two processes.
    said = run_in(2, [*line, "--out", str(tmp_path / "two")])
    assert said.splitlines()[-1:] == ["0 0"], said[-3000:]

    # 3. The same files, losses and gradients of both parts, and weights.
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())
    one, two = (read_losses(tmp_path / name / "losses.csv") for name in ("one", "two"))
    for name in ("class", "gradient_norm"):
        assert [float(row[name]) for row in two] == pytest.approx([float(row[name]) for row in one], rel=1e-4)
    first, second = (dict(load_segmenter(tmp_path / name, "cpu").network.named_parameters()) for name in ("one", "two"))
    for name, mine in first.items():
        torch.testing.assert_close(mine, second[name], rtol=1e-3, atol=1e-4, msg=name)


def test_a_batch_that_two_processes_cannot_share(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "find_processes", lambda device: Processes(0, 2))
    with pytest.raises(UserError, match=r"batch_size = 2: cannot be divided among 2 processes × 2 parts"):
        run.train(small(batch_size=2, accumulate=2), [Stage(items(2), CLASSES, steps=1)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
