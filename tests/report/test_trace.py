import numpy as np
from synthetic import trace

from seediff.report.saved_steps import load_trace, save_trace


def test_round_trip(tmp_path):
    saved = trace(3, "potted plant")
    for name in ("a", "b"):
        save_trace(tmp_path / name, saved)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    loaded = load_trace(tmp_path / "a")
    assert (loaded.name, loaded.class_name, loaded.prompt) == ("000003", "potted plant", "a photo of a potted plant")
    assert [step for step, _ in loaded.steps] == [step for step, _ in saved.steps]
    for (_, before), (_, after) in zip(saved.steps, loaded.steps, strict=True):
        assert (before.dtype == bool) == (after.dtype == bool)
        assert np.abs(before.astype(float) - after.astype(float)).max() <= 0.5 / 255 + 1e-6
    assert (loaded.image == saved.image).all()
    assert (loaded.label_map == saved.label_map).all()
    assert loaded.after_pamr is not None
    assert np.abs(loaded.after_pamr - saved.after_pamr).max() <= 0.5 / 255 + 1e-6
    save_trace(tmp_path / "again", loaded)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "a").read_bytes()
