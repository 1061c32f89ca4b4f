import pytest
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.method_constants import MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.masks.make_masks import soft_mask
from seediff.masks.steps import MaskStep
from seediff.report.explain import explain_step

UNKNOWN = explain_step(MaskStep.parse("something"))


def maps():
    generator = torch.Generator().manual_seed(0)
    rows = {(s, s): torch.softmax(3 * torch.randn(s * s, s * s, generator=generator), -1) for s in (16, 8, 4)}
    cross = {s: torch.rand(s[0] ** 2, 8, generator=generator) for s in rows}
    return AttentionMaps(rows, cross, (16, 16), {"dog": (4,)}, normalized=False)


def said(config):
    steps = list(soft_mask(maps(), "dog", config).trace)
    return {
        str(step): " ".join(explain_step(step, before=steps[:i], method=config.method)) for i, step in enumerate(steps)
    }


@pytest.mark.parametrize("method", [name for name, facts in METHOD_FACTS.items() if facts.user_function is None])
@pytest.mark.parametrize("expansion", ["none", "iterative"])
def test_every_step_is_known(method, expansion):
    texts = said(MaskConfig(method=method, expansion=expansion))
    assert UNKNOWN.text not in [text.strip() for text in texts.values()]
