import pytest
from builders.published import written

from seediff.models.describe import describe
from seediff.models.families import families
from seediff.models.locate import ModelFiles
from seediff.models.short_names import SHORT_NAMES


@pytest.mark.parametrize("family", families(), ids=[family.title for family in families()])
def test_steps_and_guidance_are_the_pipelines_own(family, tmp_path):
    """Or those of the table of short names."""
    name = next(name for name, model in SHORT_NAMES.items() if model.pipeline in family.pipelines)
    values = describe(ModelFiles("own", "own", written(name, tmp_path / "own"))).defaults()
    assert values["steps"] >= 4
    assert 0 <= values["guidance_scale"] <= 7.5
