"""Seeds that no generator of random numbers takes are refused before anything is read or made."""

import pytest

from seediff.cli import main
from seediff.errors import UserError
from seediff.evaluate.evaluation import evaluate
from seediff.evaluate.segments import evaluate_segments

COMMANDS = [
    ("evaluate", "predictions", "--data", "data"),
    ("evaluate", "segments", "segments", "--labels", "labels"),
]


@pytest.mark.parametrize("seed", [-1, -(2**63) - 1, 2**63])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_seed_that_cannot_be(words, seed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--seed", str(seed)]) == 2
    assert capsys.readouterr().err == f"seediff: --seed: {seed} must be in [0, 2^63)\n"
    assert list(tmp_path.iterdir()) == []


def test_of_the_library_too(tmp_path):
    with pytest.raises(UserError, match=r"seed: -1 must be in \[0, 2\^63\)"):
        evaluate(tmp_path, tmp_path, seed=-1)
    with pytest.raises(UserError, match=r"seed: -1 must be in \[0, 2\^63\)"):
        evaluate_segments(tmp_path, tmp_path, seed=-1)
