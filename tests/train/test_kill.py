import os
import subprocess
import sys
from pathlib import Path

from seediff.train.record import read_losses

FILES = {
    "README.md", "classes.txt", "config.json", "losses.csv", "losses.png", "model.safetensors", "seediff.toml",
    "trained_on.txt", "training.json",
}  # fmt: skip


def test_kill_changes_nothing(tmp_path):
    undisturbed, killed = tmp_path / "a", tmp_path / "b"
    script = Path(__file__).parents[1] / "builders" / "killed.py"
    done = subprocess.run(
        [sys.executable, str(script), str(undisturbed), str(killed)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) == 2
    assert {path.name for path in killed.iterdir()} == FILES
    for name in FILES:
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes(), name
    assert len(read_losses(killed / "losses.csv")) == 9
