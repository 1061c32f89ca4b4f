from builders.refusals import user_error

from seediff.attention.plan import fit_levels
from seediff.config.method_constants import MaskConfig
from seediff.models.layer_choice import Kind


def test_only_levels_that_the_method_reads_are_checked():
    there: dict[Kind, set[int]] = {"self": {1, 2}, "cross": {1, 2}}
    fit_levels(there, MaskConfig(method="ca", expand_levels=(2, 1), seed_level=4), replaces_missing=False)
    with user_error(r"^mask.seed_level: 4: the model has no attention at L/4; levels there: 1, 2$"):
        fit_levels(there, MaskConfig(expand_levels=(2, 1)), replaces_missing=False)
    with user_error(r"^mask.expand_levels: 4,2: the model has no attention at L/4 in its up layers"):
        fit_levels(there, MaskConfig(expand_levels=(4, 2), seed_level=2), "up", replaces_missing=False)
