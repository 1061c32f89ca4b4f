from dataclasses import replace

import numpy as np
import torch
from tiny_recipe import TINY

from recipes.mini.denoiser import Batch, Denoiser

CAPTIONS = ["a photo of a dog", "a mirrored photo of a penguin bird and a dog on grass", "a photo of a cat"]


def test_a_denoiser_learns_the_features():
    torch.manual_seed(0)
    student = Denoiser(replace(TINY, denoiser=replace(TINY.denoiser, alignment_weight=1.0, grouping_weight=0)))
    student.prepare(CAPTIONS, 16)
    optimizer = torch.optim.Adam(student.parameters(), 3e-3)
    clean, noise = torch.randn(2, 3, 4, 16, 16)
    times, kept = torch.tensor([10, 200, 500]), torch.zeros(3, dtype=torch.bool)
    batch = Batch(clean, noise, times, np.arange(3), kept, 0, torch.randn(3, 64, 4, 4))
    seen = []
    for _ in range(30):
        loss, curves = student.losses(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(curves["alignment"].item())
    assert seen[-1] < 0.5 * seen[0]
    assert "alignment" not in student.losses(replace(batch, features=None))[1]
