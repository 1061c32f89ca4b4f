"""Latent consistency models: a narrow twin of its exact classes, with random weights from a seed, and its reference
attention.
"""

from builders.eager import Book, cross_or_self
from builders.twins import UNCHECKED, WIDTH, saved, unet, unet_parts


@saved
def save_lcm():
    """A latent consistency model: the parts of Stable Diffusion 1, from whose weights distillation begins; in the UNet
    also a projection of the guidance scale, which is one of its inputs; and LCM's scheduler."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    parts = unet_parts()
    told = unet(time_cond_proj_dim=WIDTH)
    told.load_state_dict(parts["unet"].state_dict(), strict=False)
    return LatentConsistencyModelPipeline(
        **(parts | {"unet": told}),
        scheduler=LCMScheduler(),
        **UNCHECKED,
    )


BOOK = Book(save_lcm, cross_or_self, plain=lambda guidance, _negative: {"guidance_scale": max(guidance, 1.0)})
