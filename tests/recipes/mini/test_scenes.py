import numpy as np

from recipes.mini.sets import load_set
from recipes.mini.world import write_scenes
from seediff.mini.scenes import CLASS_IDS, CLASSES, FILE, Scene, load_scenes, read_scenes


def scene(number):
    rows = np.linspace(0, 255, 32, dtype=np.uint8)
    image = np.stack(
        [np.tile(rows, (32, 1)), np.tile(rows[:, None], (1, 32)), np.full((32, 32), 40 * number, np.uint8)], -1
    )
    label_map = np.zeros((32, 32), np.uint8)
    label_map[number : number + 9, 3:20] = CLASS_IDS["dog"]
    return Scene(image, label_map, ("dog",), f"a photo of a dog {number}")


def test_written_scenes_are_read(tmp_path):
    scenes = [scene(i) for i in range(5)]
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
