import recipes.methods  # noqa: F401  registers the methods that are files
from seediff.config.constants import MaskConfig
from seediff.config.levels import maps_read


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
