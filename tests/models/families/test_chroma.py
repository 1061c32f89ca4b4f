import torch
from builders.eager import everything_kept, means
from builders.families import generate
from builders.reference_attentions.flux import packed

from seediff.attention.layers import _bias
from seediff.config.constants import CaptureConfig

T5, N = 512, 16 * 16
TEXT, IMAGE = slice(0, T5), slice(T5, T5 + N)


def test_a_mask_of_truth_values_hides_padding(model):
    """Should diffusers come to hand its mask on as such: padding but its first token is not attended to, and the rest
    is as by the book.
    """
    condition = model.family.encode(model.pipe, ["a photo of a dog"], "cpu")
    assert int(condition["attention_mask"].sum()) == 10  # nine tokens, and one of the padding
    layer = next(iter(model.family.layers(model.network).values()))
    whole = torch.cat([condition["attention_mask"], torch.ones(1, N)], 1)
    mask = (whole[:, None, None] * whole[:, None, :, None]).bool()
    bias = _bias(mask, T5 + N, *layer.parts(T5 + N, N))
    assert bias.shape == (1, 1, 1, T5 + N)
    assert bias[0, 0, 0].isneginf().nonzero().flatten().tolist() == list(range(10, T5))


def test_second_half_of_the_steps_counts_calls_with_the_prompt(model):
    layers = dict.fromkeys(model.family.layers(model.network), packed)
    for steps, turns in (("second-half", (2, 3)), (2, (0, 2))):
        with everything_kept(model.network, layers) as kept:
            found = generate(model, steps=4, capture=CaptureConfig(steps=steps, normalize=False))[1][0]
        by_call = [kept[i : i + len(layers)] for i in range(0, len(kept), len(layers))]
        assert len(by_call) == 8
        expected = means([seen for turn in turns for seen in by_call[2 * turn]], 2, IMAGE, TEXT, normalize=False)
        assert float((found.cross_attention[16, 16] - expected["cross", 256][0]).abs().max()) < 1e-5
