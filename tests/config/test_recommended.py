"""What a model is best begun with, and whether anybody tuned it."""

import json

import pytest
from builders.published import AUTOENCODERS, saved_config

from seediff.config.constants import CaptureConfig, MaskConfig
from seediff.config.recommended import recommended_mask
from seediff.errors import UserError
from seediff.models.known import BY_NAME


def test_the_papers_for_stable_diffusion():
    found = recommended_mask("sd1.5")
    assert (found.mask, found.capture, found.tuned, found.notes) == (MaskConfig(), CaptureConfig(), True, ())
    assert not recommended_mask("sd1.5", "reference").capture.normalize


def test_the_embedded_models_own():
    found = recommended_mask("mini")
    assert found.tuned
    assert found.mask != MaskConfig()


def test_levels_that_the_model_has_and_the_mark(tmp_path):
    from seediff.models.families import pipeline_family

    for name, levels in (("sdxl", (4, 2)), ("flux-dev", (1,))):
        family = pipeline_family(BY_NAME[name].pipeline)
        assert family is not None
        files = {"model_index.json": {"_class_name": BY_NAME[name].pipeline}, f"{family.network}/config.json": saved_config(name)}
        for path, content in (files | {"vae/config.json": AUTOENCODERS[name][1]}).items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(json.dumps(content))
        found = recommended_mask(str(tmp_path / name))
        assert (found.mask.expand_levels, found.tuned) == (levels, False)
        assert found.notes[-1].startswith("expand_levels = 4,2,1 (L/4, L/2, L): the nearest that the model has is L")


def test_without_self_attention():
    assert recommended_mask("sana").mask.method == "ca"
    with pytest.raises(UserError, match="method ca_sa needs maps of self-attention, which Sana lacks"):
        recommended_mask("sana", "ca_sa")


def test_nothing_is_known():
    assert not recommended_mask("owner/name").tuned
