import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seediff.masks.pamr import PAPER_DILATIONS, affinity, pamr, scaled_dilations


def refined(image, masks, iterations, dilations, bandwidth=0.1):
    return pamr(masks, affinity(image.permute(2, 0, 1), dilations, bandwidth), iterations, dilations)


def neighbourhood(i, j, height, width, dilation):
    """The 3 × 3 positions around (i, j), clamped to the image; the pixel itself is the fifth."""
    return [
        (min(max(i + a * dilation, 0), height - 1), min(max(j + b * dilation, 0), width - 1))
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
    ]


def plain_pamr(image, masks, iterations, dilations, bandwidth=0.1):
    """Section 6 of the description, pixel by pixel in float64. image (H, W, 3), masks (C, H, W)."""
    height, width, _ = image.shape
    neighbours, weights = {}, {}
    for i in range(height):
        for j in range(width):
            around = [neighbourhood(i, j, height, width, d) for d in dilations]
            sigma = np.array([image[p] for nine in around for p in nine]).std(0, ddof=1)
            js = [p for nine in around for k, p in enumerate(nine) if k != 4]
            logits = np.array([np.mean(-np.abs(image[i, j] - image[p]) / (1e-8 + bandwidth * sigma)) for p in js])
            e = np.exp(logits - logits.max())
            neighbours[i, j], weights[i, j] = js, e / e.sum()
    for _ in range(iterations):
        refined = np.zeros_like(masks)
        for (i, j), js in neighbours.items():
            refined[:, i, j] = sum(w * masks[:, y, x] for w, (y, x) in zip(weights[i, j], js, strict=True))
        masks = refined
    return masks


def photo(height, width):
    """(H, W, 3) in [0, 1] on the grid of uint8: smooth, with noise, and with two flat corners."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(1, 3, 3, 3, generator=generator), (height, width), mode="bilinear")[0]
    noisy = (smooth.permute(1, 2, 0) + 0.1 * torch.randn(height, width, 3, generator=generator)).clamp(0, 1)
    noisy[: height // 2, : width // 2] = 1
    noisy[height // 2 :, width // 2 :] = torch.tensor([0.3, 0, 0])
    return (noisy * 255).round() / 255


@pytest.mark.parametrize(
    ("iterations", "dilations", "bandwidth"), [(3, (1, 2, 4), 0.1), (2, PAPER_DILATIONS, 0.1), (4, (1,), 0.2)]
)
def test_equals_the_plain_reference(iterations, dilations, bandwidth):
    image, masks = photo(11, 14), torch.rand(2, 11, 14)
    expected = plain_pamr(image.double().numpy(), masks.double().numpy(), iterations, dilations, bandwidth)
    np.testing.assert_allclose(refined(image, masks, iterations, dilations, bandwidth).numpy(), expected, atol=1e-5)


def test_weights_sum_to_one_even_at_lone_pixels():
    image = torch.zeros(3, 16, 16)
    image[:, 8, 8] = 1  # every neighbour is as far as can be: no weight may underflow
    weights = affinity(image, PAPER_DILATIONS, bandwidth=0.05)
    torch.testing.assert_close(weights.sum(0), torch.ones(16, 16))


@pytest.mark.parametrize(
    ("size", "expected"), [((512, 768), PAPER_DILATIONS), ((128, 128), (1, 2, 3, 6)), ((64, 64), (1, 2, 3))]
)
def test_dilations_scale_with_the_shorter_side(size, expected):
    assert scaled_dilations(size) == expected
