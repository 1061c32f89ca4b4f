"""ConceptAttention (Helbling et al.: "ConceptAttention: Diffusion Transformers Learn Highly Interpretable Features", ICML 2025): how
similar a position's attention output is to that of a concept, as a share of all concepts.

    M_c = softmax_c score(p, c)

Scores are captured (`attention/concepts.py`): inner products of outputs, averaged over blocks and steps. The concepts are the picture's
classes and words for the background. Pixels where no class reaches β are background, as with every method of this package; the authors'
background is the softmax's other concepts.

Written from the equations. The authors' program (helblazer811/ConceptAttention at db30c4d) has no licence at its top level.
"""

from __future__ import annotations

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..errors import UserError
from .arithmetic import min_max
from .steps import SoftMask, Step, Steps


def concept(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """M_c at L, without min-max, so its maximum may be below 1. Flag: `constant_map`."""
    steps = Steps()
    if class_name not in maps.concept_names:
        raise UserError(f"class '{class_name}' is none of the concepts that were captured: {', '.join(maps.concept_names)}")
    (grid, scores), column = next(iter(maps.concepts.items())), maps.concept_names.index(class_name)

    # 1. The class's score. 2. Its share of all concepts.
    steps.keep(Step("concept score"), *min_max(scores[:, column].reshape(grid)))
    return steps.finish(steps.keep(Step("share of concepts"), scores.softmax(1)[:, column].reshape(grid)))
