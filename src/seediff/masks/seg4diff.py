"""Seg4Diff (Kim et al.: "Seg4Diff: Unveiling Open-Vocabulary Segmentation in Text-to-Image Diffusion Transformers", NeurIPS 2025, arXiv
2509.18096): the attention from picture to text in one block, and nothing else.

    M_c = mean_{t in class c} CA_t,   label = argmax_c M_c

CA is a share of the whole row (picture and text), averaged over heads. There is no product with self-attention. The authors ignore the
background; here a threshold cuts it off. To keep the authors' argmax, all classes of the prompt share one scale:

    soft_c = (M_c − min M) / (max M − min M),   over all classes and positions

Written from the equations and what is known of the authors' program (cvlab-kaist/Seg4Diff at bb500ca, without a licence).
"""

from __future__ import annotations

import torch

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from .arithmetic import min_max
from .steps import SoftMask, Step, Steps


def seg4diff(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """soft_c at L / `config.seed_level`. Flag: `constant_map`, if all values of all classes are equal."""
    steps = Steps()
    maps.columns(class_name)  # raises UserError if the class is not in the prompt
    names = list(maps.words)
    classes = torch.stack([maps.cross_at(config.seed_level, name) for name in names])
    soft, flags = min_max(classes)
    steps.flag(flags)
    return steps.finish(steps.keep(Step("cross_attention"), soft[names.index(class_name)]))
