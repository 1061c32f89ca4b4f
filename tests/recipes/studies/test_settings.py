import pytest

from recipes.studies.settings import METHOD_NAMES, PAPER, Setting
from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.methods import METHOD_FACTS
from seediff.config.presets import ModelConstants, Preset


def test_paper_constants_are_the_papers():
    assert tuple(PAPER) == METHOD_NAMES
    assert PAPER["seediff"].config == MaskConfig()
    assert {s.config.alpha for s in PAPER.values()} == {0.5}
    assert PAPER["ca_sa"].config.tau == 4
    assert PAPER["fa_seg"].config.beta == 0.55
    assert [PAPER[m].config.expansion for m in ("caa", "cre", "ire")] == ["none", "parallel", "iterative"]
    assert {name for name, s in PAPER.items() if s.capture != CaptureConfig()} == {"daam"}


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if name in METHOD_FACTS])
def test_a_papers_constants_are_what_the_commands_take(method):
    flat = {"mask.method": method}
    for layer in ModelConstants("a-model", Preset()).mask_values(method):
        flat = {**layer.values, **flat}
    mask, capture = (
        {name[len(part) :]: value for name, value in flat.items() if name.startswith(part)}
        for part in ("mask.", "capture.")
    )
    assert PAPER[method] == Setting(MaskConfig(**mask), CaptureConfig(**capture))
