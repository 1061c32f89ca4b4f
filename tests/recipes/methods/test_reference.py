import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_maps import random_maps, stretch

from recipes.methods.reference import reference
from seediff.config.constants import MaskConfig
from seediff.masks.arithmetic import otsu


def cosines(rows, seeds):
    """Σ over seeds of the cosine with every row, one seed at a time."""
    side = int(len(rows) ** 0.5)
    total = np.zeros(len(rows))
    for i in seeds:
        for s in range(len(rows)):
            total[s] += rows[i] @ rows[s] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[s])
    return total.reshape(side, side)


@pytest.mark.parametrize("class_name", ["dog", "cat"])
def test_equals_the_description_in_float64(class_name):
    maps = random_maps(8, seed=1)
    rows = {s: t.double().numpy() for s, t in maps.self_attention.items()}
    cross = stretch(maps.cross_at(4, class_name).double().numpy())
    soft = cosines(rows[2, 2], [i for i, v in enumerate((cross**2).ravel()) if v >= otsu(torch.tensor(cross**2))])
    for side in (4, 8):
        soft = F.interpolate(torch.tensor(soft)[None, None], (side, side), mode="bicubic", align_corners=False)[
            0, 0
        ].numpy()
        split = otsu(torch.tensor(soft**2))
        behind = cosines(rows[side, side], [i for i, v in enumerate((soft**2).ravel()) if v < split])
        soft = stretch((1 - stretch(behind)) * stretch(soft))
    result = reference(maps, class_name, MaskConfig(method="reference"))
    np.testing.assert_allclose(result.soft.numpy(), soft, atol=1e-4)
    assert [str(step) for step in result.trace][:3] == ["cross_attention", "seeds L/4", "expansion L/4"]
    assert [str(step) for step in result.trace][-4:] == ["background seeds L", "background L", "visible L", "soft mask"]
