import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from patience import PATIENCE
from refusals import user_error
from shapes import CLASSES, items, small

from seediff.cli.main import main
from seediff.config.train import make_config
from seediff.dataset.native import write_native
from seediff.train import run
from seediff.train.models import build_network
from seediff.train.predict import load_segmenter
from seediff.train.processes import Processes
from seediff.train.record import read_losses
from seediff.train.stages import Stage

BUILDERS = Path(__file__).parents[1] / "builders"
STEPS = 3
several = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None or not hasattr(os, "fork"),
    reason="accelerate is not installed (seediff[train]), or this system cannot fork",
)
OPTIONS = (
    "--architecture segformer --backbone tiny --batch-size 2 --crop 64 --test-side 64 --scale 1,1 --warmup 0 "
    f"--steps {STEPS} --workers 0 --device cpu --dtype float32 --quiet"
).split()


INTERRUPTED = """
import os, signal, sys
from several_processes import run, start

def interrupting(step, *rest):
    if step == 1 and os.environ["RANK"] == "1":
        signal.raise_signal(signal.SIGINT)
    return rate_at(step, *rest)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored where the tests run in the background
    rate_at, line = run.learning_rate_at, sys.argv[2:-2]
    for function, out in ((rate_at, sys.argv[-2]), (interrupting, sys.argv[-1]), (rate_at, sys.argv[-1])):
        run.learning_rate_at = function
        print(*start(int(sys.argv[1]), [*line, "--out", out]), flush=True)
"""
"""Trains three times: undisturbed, interrupted in the second step of one process alone, and once more into the same
folder.
"""


@pytest.fixture
def line(tmp_path):
    """What trains on toy scenes, all with as many labelled pixels, from weights of a network that drops nothing at
    random.
    """
    write_native(tmp_path / "scenes", CLASSES, items(6), about={})
    network = build_network(make_config({"architecture": "segformer", "backbone": "tiny"}), CLASSES)
    network.config.classifier_dropout_prob = 0.0
    network.save_pretrained(tmp_path / "first")
    return ["train", str(tmp_path / "scenes"), "--weights", str(tmp_path / "first"), *OPTIONS]


@several
def test_two_processes_are_one_with_the_same_batches_and_stop_together(tmp_path, line):
    # 1. One process, which sees each batch in two parts, as two processes do; two processes; and two of which one is
    #   interrupted.
    assert main([*line, "--accumulate", "2", "--out", str(tmp_path / "one")]) == 0
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(BUILDERS), *sys.path])}
    words = [sys.executable, str(script), "2", *line, str(tmp_path / "undisturbed"), str(tmp_path / "interrupted")]
    started = subprocess.Popen(words, **pipes, env=environment, start_new_session=True)
    try:
        said = started.communicate(timeout=PATIENCE)[0]
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    assert [text for text in said.splitlines() if text[:1].isdigit()] == ["0 0", "130 130", "0 0"], said[-3000:]

    # 2. The same files, losses and gradients of both parts, and weights.
    first, second = tmp_path / "one", tmp_path / "undisturbed"
    assert sorted(p.name for p in first.iterdir()) == sorted(p.name for p in second.iterdir())
    one, two = (read_losses(folder / "losses.csv") for folder in (first, second))
    for name in ("class", "gradient_norm"):
        assert [float(row[name]) for row in two] == pytest.approx([float(row[name]) for row in one], rel=1e-4)
    mine, theirs = (dict(load_segmenter(folder, "cpu").network.named_parameters()) for folder in (first, second))
    for name, weight in mine.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-3, atol=1e-4, msg=name)

    # 3. All stopped when one was interrupted, and went on to the same bytes.
    assert (
        f"interrupted with 2 of {STEPS} steps kept in {tmp_path / 'interrupted'}; run the same command to continue"
        in said
    )
    for name in ("losses.csv", "model.safetensors"):
        assert (second / name).read_bytes() == (tmp_path / "interrupted" / name).read_bytes(), name


def test_a_batch_that_two_processes_cannot_share(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "find_processes", lambda device: Processes(0, 2))
    with user_error(r"batch_size: 2: cannot be divided among 2 processes × 2 parts"):
        run.train(small(batch_size=2, accumulate=2), [Stage(items(2), CLASSES, steps=1)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
