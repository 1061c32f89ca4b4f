import pytest
import torch

from seediff.segments.diffcut import capture_features


@pytest.fixture
def unet(mini_model):
    return mini_model.pipe.unet


@torch.no_grad()
def run(unet, *, images=2, size=(16, 16), seed=0):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(images, 4, *size, generator=generator)
    context = torch.randn(images, 7, unet.config.cross_attention_dim, generator=generator)
    return unet(latents, 50, encoder_hidden_states=context).sample


def naive(unet, block, **options):
    """The published program's way: the output of the last `attn1` of an encoder block, (B, N, C)."""
    kept = []
    attention = unet.down_blocks[block].attentions[-1].transformer_blocks[-1].attn1
    handle = attention.register_forward_hook(lambda *a: kept.append(a[2]))
    run(unet, **options)
    handle.remove()
    (features,) = kept
    return features


@pytest.mark.parametrize(
    ("size", "block"),
    [((8, 24), 0), ((24, 32), 1), ((64, 8), 2)],
)
def test_equals_a_plain_hook(unet, block, size):
    """At the last level with sixteen positions on the longer side."""
    expected = naive(unet, block, size=size)  # (B, N, C)
    with capture_features(unet, size) as found:
        run(unet, size=size)
    (features,) = found
    height, width = (side // 2**block for side in size)
    assert features.shape == (2, expected.shape[2], height, width)
    assert features.dtype == torch.float32
    assert torch.equal(features, expected.transpose(1, 2).unflatten(2, (height, width)))
