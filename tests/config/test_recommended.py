"""What a model is best begun with, and whether anybody tuned it."""

import pytest
from builders.published import written

from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.recommended import recommended_mask
from seediff.errors import UserError


def test_the_papers_for_stable_diffusion():
    found = recommended_mask("sd1.5")
    assert (found.mask, found.capture, found.tuned, found.notes) == (MaskConfig(), CaptureConfig(), True, ())
    assert not recommended_mask("sd1.5", "reference").capture.normalize


def test_the_embedded_models_own():
    found = recommended_mask("mini")
    assert found.tuned
    assert found.mask != MaskConfig()


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(("name", "levels"), [("sdxl", (4, 2)), ("ssd-1b", (4, 2)), ("flux-dev", (1,))])
def test_levels_that_the_model_has_and_the_mark(name, levels, here, tmp_path):
    """Of a folder, and of a short name before the model is fetched."""
    found = recommended_mask(str(written(name, tmp_path / name)) if here else name)
    assert (found.mask.expand_levels, found.tuned) == (levels, False)
    assert found.notes[-1].startswith("expand_levels = 4,2,1 (L/4, L/2, L): the nearest that the model has is L")


def test_without_self_attention():
    assert recommended_mask("sana").mask.method == "ca"
    with pytest.raises(UserError, match="method ca_sa needs maps of self-attention, which Sana lacks"):
        recommended_mask("sana", "ca_sa")


def test_nothing_is_known():
    assert not recommended_mask("owner/name").tuned
