import numpy as np
import torch
from refusals import user_error
from tiny_recipe import halved

from recipes.mini import backbone
from recipes.mini.backbone import train_backbone
from recipes.mini.yardstick import YardstickRecipe
from seediff.config.train import make_config
from seediff.mini.scenes import load_scenes
from seediff.train.models import build_network


def test_training_learns_and_transformers_reads_it(tmp_path, monkeypatch):
    scenes = halved([s for s in load_scenes() if len(s.classes) == 1][:8])
    images = np.stack([s.image for s in scenes])
    monkeypatch.setattr(backbone, "rendered_scenes", lambda *given: (images, [s.caption for s in scenes]))
    monkeypatch.setattr(backbone, "render_scene", lambda art, index, **given: scenes[index % len(scenes)])
    losses = []
    short = YardstickRecipe(samples=480, batch=8, learning_rate=4e-3)
    found = train_backbone(
        tmp_path, tmp_path, tmp_path / "out", tagging=short, report=lambda row: losses.append(row["loss"])
    )
    assert losses[-1] < losses[0] / 2
    assert found["known_sprites"] > 0.6
    own, packaged = (
        build_network(make_config({"backbone": "tiny", "weights": w}), ("a",))
        for w in (str(tmp_path / "out"), "pretrained")
    )
    first, second = (n.model.pixel_level_module.encoder.state_dict() for n in (own, packaged))
    assert list(first) == list(second)
    assert not torch.equal(
        first["embedder.embedder.convolution.weight"], second["embedder.embedder.convolution.weight"]
    )
    with user_error("already exists and is not empty"):
        train_backbone(tmp_path, tmp_path, tmp_path / "out", tagging=short)
