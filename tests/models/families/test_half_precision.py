import numpy as np
import pytest
from builders.families import SPECS, generate, least_steps, request, shown
from builders.reference_attention import ALIKE, BOOKS, sweep

from seediff.attention import running_maps
from seediff.models.describe import describe_here
from seediff.models.registry import load_model

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("family", sweep(name for name in BOOKS if name not in ALIKE))
def test_the_image_in_half_precision_is_that_without_capture(family, twin, monkeypatch):
    """And maps are of the model's own queries and keys, not of wider ones."""
    info = describe_here(str(twin(family)))
    model = load_model(str(twin(family)), device="cpu", dtype=info.family.half)
    added, kinds = running_maps.add_probabilities, set()

    def add(parts, scores, **more):
        kinds.update([str(scores.query.dtype), str(scores.key.dtype)])
        added(parts, scores, **more)

    monkeypatch.setattr(running_maps, "add_probabilities", add)
    images, _ = generate(model, SPECS[:1], steps=least_steps(model))
    assert kinds == {f"torch.{info.family.half}"}
    assert np.array_equal(images[0], shown(model.pipe(**request(model, SPECS[:1], steps=least_steps(model))).images[0]))
