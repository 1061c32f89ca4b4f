"""The packaged scenes at half their side, which a narrow model processes four times as fast."""

from __future__ import annotations

from dataclasses import replace

from seediff.mini.scenes import Scene, load_scenes


def half_side(name: str, count: int | None = None) -> list[Scene]:
    return [replace(scene, image=scene.image[::2, ::2], label_map=scene.label_map[::2, ::2]) for scene in load_scenes(name, count)]
