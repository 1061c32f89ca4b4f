"""`encode_masked`: the files of a picture and of the masks that a model made of it, for `generate` and `mask`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.runs import GenerateConfig, MaskPhotosConfig
from ..dataset import native
from ..dataset.encoding import encode_soft
from ..dataset.sample import SOFT, Extras, Sample
from ..dataset.shapes.objects import scored_pieces
from ..dataset.writing import Encoded, encode_sample
from ..rows.row import Row
from ..rows.values import ids_by_name
from ..version import __version__

# torch takes seconds to import. A run that only reports an error, or is finished already, should not wait for it.
if TYPE_CHECKING:
    from ..attention.maps import AttentionMaps
    from ..masks.results import MaskResult


def encode_masked(
    config: GenerateConfig | MaskPhotosConfig,
    name: str,
    image: bytes,
    masks: MaskResult,
    attention: AttentionMaps | None,
    row: Row,
) -> Encoded:
    """The row and files of a picture and its masks, with the files that the configuration asks for.

    image: the contents of the picture's file, as PNG or JPEG. masks: at the picture's size (H, W). row: what only one
    of the commands knows of the sample, such as the `seed` of `generate`.
    """
    ids = ids_by_name(config.classes)
    class_ids = tuple(ids[kind] for kind in masks.classes)
    labels = native.dataset_labels(masks.label_map, class_ids)
    extras: Extras = {}
    objects = None
    if config.keep_soft:
        for class_id, soft in zip(class_ids, masks.whole_softs(), strict=True):
            extras[SOFT, class_id] = encode_soft(soft)
    if config.objects:
        objects = scored_pieces(labels, class_ids, masks.whole_softs())
    if config.keep_attention and attention is not None:
        extras[native.ATTENTION, None] = attention.encode()
    row = row.replace(
        classes=masks.classes,
        class_ids=class_ids,
        flags=masks.flags,
        confidence=dict(masks.confidence),
        model=config.model_label,
        method=config.method,
        version=__version__,
    )
    return encode_sample(Sample(image, labels, objects, row, name=name, extras=extras), config.classes)
