from refusals import user_error

import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.config.constants import MaskConfig
from seediff.config.levels import fit_levels, maps_read


def test_only_levels_that_the_method_reads_are_checked():
    there = {"self": {1, 2}, "cross": {1, 2}}
    fit_levels(there, MaskConfig(method="ca", expand_levels=(2, 1), seed_level=4), fitted=False)
    with user_error(r"^mask.seed_level: 4: the model has no attention at L/4; levels there: 1, 2$"):
        fit_levels(there, MaskConfig(expand_levels=(2, 1)), fitted=False)
    with user_error(r"^mask.expand_levels: 4,2: the model has no attention at L/4 in its up layers"):
        fit_levels(there, MaskConfig(expand_levels=(4, 2), seed_level=2), "up", fitted=False)


def test_maps_that_each_method_reads():
    """What is not captured raises an error when a mask is made."""
    assert maps_read(MaskConfig()) == {"cross": (4,), "self": (4, 2, 1)}
    assert maps_read(MaskConfig(expansion="parallel")) == {"cross": (4, 2, 1), "self": (4, 2, 1)}
    of_background = {"cross": (4, 2, 1), "self": (4, 2, 1)}
    assert maps_read(MaskConfig(expansion="none")) == of_background
    assert maps_read(MaskConfig(expansion="none", background=False)) == {"cross": (4, 2, 1)}
    assert maps_read(MaskConfig(method="ca")) == {"cross": (4, 2, 1)}
    assert maps_read(MaskConfig(method="ca_sa")) == {"cross": (4,), "self": (2,)}
    assert maps_read(MaskConfig(method="reference", seed_level=2)) == {"cross": (2,), "self": (4, 2, 1)}
