from builders.eager import everything_kept, means
from builders.families import generate
from builders.reference_attentions.flux import packed

from seediff.config.method_constants import CaptureConfig

T5, N = 512, 16 * 16
TEXT, IMAGE = slice(0, T5), slice(T5, T5 + N)


def test_second_half_of_the_steps_counts_calls_with_the_prompt(model):
    layers = dict.fromkeys(model.family.layers(model.network), packed)
    for steps, turns in (("second-half", (2, 3)), (2, (0, 2))):
        with everything_kept(model.network, layers) as kept:
            found = generate(model, steps=4, capture=CaptureConfig(steps=steps, normalize=False))[1][0]
        by_call = [kept[i : i + len(layers)] for i in range(0, len(kept), len(layers))]
        assert len(by_call) == 8
        expected = means([seen for turn in turns for seen in by_call[2 * turn]], 2, IMAGE, TEXT, normalize=False)
        assert float((found.cross_attention[16, 16] - expected["cross", 256][0]).abs().max()) < 1e-5
