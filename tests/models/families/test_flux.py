import pytest
from builders.eager import everything_kept, means
from builders.families import SPECS, generate
from builders.reference_attentions.flux import packed

from seediff.config.methods import CaptureConfig

T5, N = 512, 16 * 16
TEXT, IMAGE = slice(0, T5), slice(T5, T5 + N)


@pytest.mark.parametrize("folder", ["chroma"], indirect=True)
def test_second_half_of_the_steps_counts_calls_with_the_prompt(model):
    layers = dict.fromkeys(model.family.layers(model.network), packed)
    with everything_kept(model.network, layers) as kept:
        found = generate(model, SPECS[:1], steps=3, capture=CaptureConfig(steps="second-half", normalize=False))[1][0]
    by_call = [kept[i : i + len(layers)] for i in range(0, len(kept), len(layers))]
    assert len(by_call) == 6
    expected = means([*by_call[2], *by_call[4]], 1, IMAGE, TEXT, normalize=False)
    assert float((found.cross_attention[16, 16] - expected["cross", 256][0]).abs().max()) < 1e-5
