import numpy as np
import pytest
import torch
from refusals import user_error
from shapes import CLASSES, scene, small
from transformers import ResNetBackbone

from seediff.config.train import make_config
from seediff.train.loss import Trainee
from seediff.train.models import DESIGNS, build_network, class_scores

ARCHITECTURES = sorted({architecture for architecture, _ in DESIGNS})


def batch():
    images, labels = zip(*(scene(i) for i in range(2)), strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))


def gradients(trainee, images, labels):
    torch.manual_seed(0)
    trainee.zero_grad()
    torch.stack([*trainee(images, labels).values()]).sum().backward()
    return {name: p.grad.clone() for name, p in trainee.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_below_255_changes_no_gradient(architecture):
    """Two truths that differ only where both are painted over with 255 are one and the same supervision; painting
    changes it.
    """
    config = small(architecture=architecture, dtype="float32")
    trainee = Trainee(build_network(config, CLASSES), config).train()
    images, labels = batch()
    other = labels.clone()
    other[:, 20:40, 20:40] = 3 - other[:, 20:40, 20:40].clamp(1, 2)
    assert not torch.equal(labels, other)
    plain = gradients(trainee, images, labels)
    for one in (labels, other):
        one[:, 20:40, 20:40] = 255
    first, second = gradients(trainee, images, labels), gradients(trainee, images, other)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], plain[name]) for name in first)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_background_is_a_class(architecture):
    config = small(architecture=architecture)
    network = build_network(config, CLASSES)
    assert network.config.id2label == {0: "background", 1: "square", 2: "disc"}
    with torch.inference_mode():
        assert class_scores(network.eval(), batch()[0]).shape == (2, 3, 64, 64)
    # An image of background alone has a mask to learn.
    trainee = Trainee(network, config)
    losses = trainee(batch()[0], torch.zeros(2, 64, 64, dtype=torch.uint8))
    assert all(value.item() > 0 for value in losses.values())


def test_groups():
    config = make_config({"backbone": "tiny", "backbone_factor": 0.5, "learning_rate": 1e-3})
    trainee = Trainee(build_network(config, CLASSES), config)
    groups = trainee.parameter_groups()
    assert sum(len(group["params"]) for group in groups) == len(list(trainee.parameters()))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, p in trainee.named_parameters():
        assert rate[id(p)] == (5e-4 if "pixel_level_module.encoder." in name else 1e-3), name
    named = dict(trainee.named_parameters())
    assert decay[id(named["network.class_predictor.weight"])] == 0.05
    assert decay[id(named["network.model.transformer_module.queries_features.weight"])] == 0
    assert decay[id(named["network.model.transformer_module.decoder.layernorm.weight"])] == 0


def test_backbone_from_a_folder(tmp_path):
    config = small()
    network = build_network(config, CLASSES)
    backbone = network.model.pixel_level_module.encoder
    backbone.save_pretrained(tmp_path / "backbone")
    loaded = build_network(small(seed=5, weights=str(tmp_path / "backbone")), CLASSES)
    mine, theirs = backbone.state_dict(), loaded.model.pixel_level_module.encoder.state_dict()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    ResNetBackbone(
        backbone.config.__class__(**{**backbone.config.to_dict(), "layer_type": "bottleneck"})
    ).save_pretrained(tmp_path / "other")
    for weights, name, problem in (
        ("backbone", "swin-t", r"model_type = .resnet. must be 'mask2former' or 'swin'"),
        ("other", "tiny", r"its weights are not those of its network: \d+ tensors"),
    ):
        with user_error(problem):
            build_network(make_config({"backbone": name, "weights": str(tmp_path / weights)}), CLASSES)
