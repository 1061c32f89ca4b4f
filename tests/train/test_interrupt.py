import errno
import signal

import pytest
from interrupted import check_interrupted, contents
from refusals import refused
from shapes import CLASSES, items, small

from seediff.cli.main import main
from seediff.dataset.writing import save_native
from seediff.train import run, views
from seediff.train.record import CHECKPOINT, read_state
from seediff.train.stages import Stage

STEPS = 4
SIZES = "--backbone tiny --batch-size 2 --crop 64 --test-side 64 --workers 0 --device cpu --dtype float32"
OPTIONS = f"{SIZES} --steps {STEPS}".split()


@pytest.fixture(autouse=True)
def own_handler():
    """Python's handler of SIGINT, whatever an earlier test or whoever started the tests has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupt(monkeypatch):
    """Have the training be interrupted in its so manieth step from now on, so many times."""
    learning_rate_at = run.learning_rate_at

    def set_to(number, times=1):
        calls = []

        def interrupting(*given):
            calls.append(given)
            for _ in range(times if len(calls) == number else 0):
                signal.raise_signal(signal.SIGINT)
            return learning_rate_at(*given)

        monkeypatch.setattr(run, "learning_rate_at", interrupting)

    return set_to


@pytest.fixture
def line(tmp_path):
    save_native(tmp_path / "scenes", CLASSES, items(4), about={})
    return ["train", str(tmp_path / "scenes"), *OPTIONS, "--out", str(tmp_path / "out")]


FILES = {
    "README.md", "classes.txt", "config.json", "losses.csv", "losses.png", "model.safetensors", "seediff.toml",
    "trained_on.txt", "training.json",
}  # fmt: skip


@pytest.mark.slow
def test_a_training_killed_between_its_writes_ends_with_the_same_bytes(tmp_path, monkeypatch):
    """After a checkpoint, before the losses, the chart and the network are written from it; and behind the card."""

    def train(out):
        stages = [Stage(items(4), CLASSES, steps=2), Stage(items(2, first=20), CLASSES, steps=1, name="finetune")]
        config = small(architecture="segformer", batch_size=2, points=64)
        run.train(config, stages, out, validation=items(1, first=40), validate_every=1, workers=0)

    check_interrupted(train, tmp_path, monkeypatch, (5, 8, 13, 16, 18.5))


def test_interrupts_and_ends_without_a_checkpoint_change_nothing(tmp_path, interrupt, monkeypatch):
    monkeypatch.setattr(views, "line_charts", lambda *_: b"chart")  # drawing one takes half a second

    def train(name):
        stages = [Stage(items(6), CLASSES, steps=4), Stage(items(4, first=20), CLASSES, steps=2, name="finetune")]
        run.train(
            small(architecture="segformer", batch_size=2),
            stages,
            tmp_path / name,
            validation=items(2, first=40),
            validate_every=3,
            save_every=2,
            workers=0,
        )

    train("undisturbed")
    for number, times, kept in ((2, 1, 2), (3, 2, 4), (1, 1, 5)):
        interrupt(number, times)
        with pytest.raises(KeyboardInterrupt):
            train("interrupted")
        assert read_state(tmp_path / "interrupted" / CHECKPOINT).step == kept
    train("interrupted")
    undisturbed = contents(tmp_path / "undisturbed")
    assert contents(tmp_path / "interrupted") == undisturbed
    assert undisturbed.keys() == FILES


@pytest.mark.slow
def test_the_command_says_what_is_kept(tmp_path, line, interrupt, capsys):
    interrupt(2)
    assert main(line) == 130
    said = f"seediff: interrupted with 2 of {STEPS} steps kept in {tmp_path / 'out'}; run the same command to continue"
    assert capsys.readouterr().err.splitlines()[-1] == said  # a slow machine is told its progress before
    assert main([*line, "--quiet"]) == 0
    assert main([*line[:-1], str(tmp_path / "undisturbed"), "--quiet"]) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_checkpoint_that_cannot_be_written(monkeypatch, line, interrupt, capsys):
    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device", "checkpoint")

    monkeypatch.setattr(run, "write_checkpoint", full)
    interrupt(2)
    assert f"No space left on device; none of {STEPS} steps kept in" in refused(capsys, *line, "--quiet")
