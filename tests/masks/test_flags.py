import torch

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.masks.flags import FLAGS, flag_kind
from seediff.masks.make_masks import make_masks


def test_what_the_methods_give_is_listed():
    generator = torch.Generator().manual_seed(0)
    given = set()
    for noise in (0.0, 1.0):
        cross = {(side, side): 0.5 + noise * torch.rand(side * side, 2, generator=generator) for side in (16, 8, 4, 2)}
        own = {(side, side): torch.full((side * side, side * side), 1 / side**2) for side in (16, 8, 4, 2)}
        maps = AttentionMaps(own, cross, (16, 16), {"dog": (1,)}, "a dog", normalized=False)
        for method in METHOD_FACTS:
            for alpha in (0.5, 1.0):
                config = MaskConfig(method=method, alpha=alpha, pamr=False)
                found = make_masks(None, maps, ["dog"], config, size=(32, 32))
                given |= {flag_kind(flag) for flag in found.flags}
    assert {"constant_map", "degenerate", "no_seeds"} <= given <= set(FLAGS)
