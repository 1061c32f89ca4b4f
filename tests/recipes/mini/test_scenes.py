import numpy as np

from recipes.mini.sets import load_set
from recipes.mini.world import write_scenes
from seediff.mini.scenes import CLASSES, FILE, load_scenes, read_scenes


def test_written_scenes_are_read(tmp_path):
    scenes = load_scenes(5)
    write_scenes(tmp_path / "some.safetensors", scenes)
    back = read_scenes(tmp_path / "some.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["some.safetensors"]
    for ours, theirs in zip(scenes, back, strict=True):
        np.testing.assert_array_equal(ours.label_map, theirs.label_map)
        assert (ours.classes, ours.caption) == (theirs.classes, theirs.caption)
        assert np.abs(ours.image.astype(int) - theirs.image).mean() < 6
    assert [s.caption for s in read_scenes(tmp_path / "some.safetensors", 2)] == [s.caption for s in scenes[:2]]


def test_the_package_has_the_first_scenes_of_the_held_out_set():
    scenes = load_scenes()
    assert len(scenes) == 60
    assert FILE.stat().st_size < 500_000
    assert {c for s in scenes for c in s.classes} == set(CLASSES)
    for ours, theirs in zip(scenes, load_set("truth", 60), strict=True):
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.label_map, theirs.label_map)
        assert (ours.classes, ours.caption) == (theirs.classes, theirs.caption)
