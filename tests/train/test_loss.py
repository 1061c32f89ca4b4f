import numpy as np
import pytest
import torch
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from seediff.config.train import TrainConfig
from seediff.train import loss

B, Q, C, SIDE, POINTS = 3, 6, 4, 16, 40
CONFIG = TrainConfig(points=POINTS)  # transformers' own weights


def set_losses(masks, classes, labels, config):
    return loss.set_losses(masks, classes, labels, loss.present_classes(labels), config)


def outputs(seed=0, side=SIDE):
    generator = torch.Generator().manual_seed(seed)
    masks = 3 * torch.randn(B, Q, side, side, generator=generator)
    return masks.requires_grad_(), torch.randn(B, Q, C + 1, generator=generator).requires_grad_()


def label_maps(seed=0, ignored=False):
    labels = torch.from_numpy(np.random.default_rng(seed).integers(C, size=(B, SIDE, SIDE)))
    labels[0][labels[0] == 2] = 1  # not every class in every image
    if ignored:
        labels[:, 4:9, 3:12] = 255
    return labels


@pytest.fixture
def same_points(monkeypatch):
    """transformers draws points in [0, 1)², we draw pixels: let both take the same pixels' centres, whatever they ask
    for.
    """
    calls = {"row": 0}

    def pixels(rows, count):
        return torch.from_numpy(np.random.default_rng(count).integers(SIDE * SIDE, size=(16, count)))[:rows]

    def rand(*shape, device=None):
        rows, count, _ = shape
        found = pixels(16, count)
        if rows == 1:  # the matcher asks image by image
            found = found[calls["row"] % B][None]
            calls["row"] += 1
        found = found[:rows]
        return torch.stack([found % SIDE + 0.5, found // SIDE + 0.5], -1) / SIDE

    monkeypatch.setattr("torch.rand", rand)
    monkeypatch.setattr("torch.randint", lambda high, size, device=None: pixels(*size))


@pytest.mark.parametrize("side", [SIDE, SIDE // 4])
def test_equals_transformers_where_nothing_is_ignored(same_points, side):
    masks, classes = outputs(side=side)
    labels = label_maps()
    config = Mask2FormerConfig(num_labels=C, train_num_points=POINTS)
    criterion = Mask2FormerLoss(config, {})
    present = [one.unique() for one in labels]
    targets = [torch.stack([(one == c).float() for c in ids]) for one, ids in zip(labels, present, strict=True)]
    theirs = criterion(masks, classes, targets, present)
    ours = set_losses(masks, classes, labels, CONFIG)
    for name, key, weight in (("class", "loss_cross_entropy", 2), ("mask", "loss_mask", 5), ("dice", "loss_dice", 5)):
        torch.testing.assert_close(ours[name], weight * theirs[key])


def test_ignored_pixels_supervise_nothing(monkeypatch):
    labels = label_maps(ignored=True)
    masks, classes = outputs()
    torch.manual_seed(1)
    sum(set_losses(masks, classes, labels, CONFIG).values()).backward()
    ignored = (labels == 255)[:, None].expand_as(masks)
    assert masks.grad[ignored].abs().max() == 0
    assert masks.grad[~ignored].abs().max() > 0
    # Nor do they decide which query is matched: predictions there may be anything.
    changed = masks.detach().clone()
    changed[ignored] = 50 * torch.randn(int(ignored.sum()))
    values = []
    monkeypatch.setattr(
        loss, "IMPORTANCE", 0.0
    )  # all points are drawn at random: which pixels are uncertain depends on predictions
    for one in (masks.detach(), changed):
        torch.manual_seed(1)
        values.append(set_losses(one, classes.detach(), labels, CONFIG))
    assert {k: v.item() for k, v in values[0].items()} == {k: v.item() for k, v in values[1].items()}
