from seediff.attention.plan import fit_mask
from seediff.config.methods import MaskConfig


def test_the_nearest_level_is_taken_and_said(model):
    fitted, notes = fit_mask(model.family, model.layers, MaskConfig(), "all")
    assert (fitted.seed_level, fitted.expand_levels) == (4, (4, 2))
    assert notes == ["expand_levels = 4,2,1 (L/4, L/2, L): the nearest that the model has is L/4, L/2"]
    wanted = MaskConfig(method="ca_sa", seed_level=1, self_level=8)
    fitted, notes = fit_mask(model.family, model.layers, wanted, "all")
    assert (fitted.seed_level, fitted.self_level, len(notes)) == (2, 4, 2)
