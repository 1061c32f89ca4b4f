"""Segmenter networks from transformers. `DESIGNS` has the sizes of every network that can be trained.

`find_weights` says what a training starts from: random numbers, a backbone's weights, or a whole network's weights.
`build_network` makes the network, `class_scores` computes its scores for every pixel, `load_network` loads a finished
one.

Class id 0 is the background, a class like any other. Letters: B images, C classes with background, H × W pixels.

Segmenters and backbones are loaded from safetensors files only. transformers by itself would also read pickles, and
would give missing tensors random values with only a warning.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    PretrainedConfig,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SwinConfig,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from ..config.class_names import BACKGROUND
from ..config.train import TrainConfig
from ..devices import mixed_precision
from ..errors import UserError, foreign_errors
from ..files.messages import show_json
from ..models.hub import Address, cached_file, fetch_file, fetch_files, hub_files, path_or_address
from ..models.libraries import import_transformers
from ..models.no_code import check_parts
from ..models.weights import load_checked
from .record import read_network_config

TINY_FOLDER = Path(__file__).parent / "tiny"
"""The folder with the package's own backbone, trained by recipes/mini/backbone.py."""
STAGES = ["stage1", "stage2", "stage3", "stage4"]


class Design(NamedTuple):
    """What the name of a backbone stands for."""

    pretrained: str
    """The folder or hub id of its pretrained weights; "" if there are none."""
    kind: type[PretrainedConfig]
    """transformers' configuration class of the backbone; for SegFormer, of the whole network."""
    sizes: Mapping[str, Any]
    """Where the backbone differs from the defaults of `kind`."""
    decoder: Mapping[str, Any] = {}
    """Where Mask2Former's decoder differs from its defaults."""


# fmt: off
DESIGNS: dict[tuple[str, str], Design] = {
    ("mask2former", "r50"): Design("microsoft/resnet-50", ResNetConfig, {}),
    ("mask2former", "swin-t"): Design("microsoft/swin-tiny-patch4-window7-224", SwinConfig, {"drop_path_rate": 0.3}),
    ("mask2former", "swin-b"): Design("microsoft/swin-base-patch4-window12-384-in22k", SwinConfig, {
        "drop_path_rate": 0.3, "image_size": 384, "embed_dim": 128, "depths": [2, 2, 18, 2],
        "num_heads": [4, 8, 16, 32], "window_size": 12,
    }),
    ("mask2former", "tiny"): Design(str(TINY_FOLDER), ResNetConfig, {
        "embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 2, 2], "layer_type": "basic",
    }, decoder={
        "feature_size": 64, "mask_feature_size": 64, "hidden_dim": 64, "encoder_feedforward_dim": 128,
        "dim_feedforward": 128, "encoder_layers": 1, "decoder_layers": 3, "num_attention_heads": 4,
    }),
    ("segformer", "b0"): Design("nvidia/mit-b0", SegformerConfig, {}),
    ("segformer", "b2"): Design("nvidia/mit-b2", SegformerConfig, {
        "hidden_sizes": [64, 128, 320, 512], "depths": [3, 4, 6, 3], "decoder_hidden_size": 768,
    }),
    ("segformer", "b5"): Design("nvidia/mit-b5", SegformerConfig, {
        "hidden_sizes": [64, 128, 320, 512], "depths": [3, 6, 40, 3], "decoder_hidden_size": 768,
    }),
    ("segformer", "tiny"): Design("", SegformerConfig, {
        "hidden_sizes": [32, 64, 96, 128], "depths": [2, 2, 2, 2], "num_attention_heads": [1, 2, 3, 4],
        "decoder_hidden_size": 96, "mlp_ratios": [2, 2, 2, 2], "drop_path_rate": 0.0,
    }),
}
# fmt: on
"""(architecture, backbone) → its design."""

Network = Mask2FormerForUniversalSegmentation | SegformerForSemanticSegmentation
NETWORKS = {"mask2former": Mask2FormerForUniversalSegmentation, "segformer": SegformerForSemanticSegmentation}
"""Architecture, which is also its `model_type` → transformers' class of the network."""


class InitialWeights(NamedTuple):
    """Where the first weights of a training come from."""

    source: str
    """A folder or hub id."""
    is_whole: bool
    """Whether these are the weights of a whole network, and not of a backbone alone."""


def build_network(config: TrainConfig, classes: Sequence[str]) -> Network:
    """A network for `classes` and the background, with its initial weights. Random weights depend on the seed:

        config.weights        what is random
        "scratch"             everything
        of a backbone         everything but the backbone
        of a whole network    only what has the number of classes as a side, if that differs

    Raises UserError for weights that cannot be read, or are of another architecture or backbone."""
    weights = find_weights(config)
    kind = NETWORKS[config.architecture]
    settings = _settings(config, classes)
    if weights is not None and weights.is_whole:  # a network of any kind
        labels = {"id2label": settings.id2label, "label2id": settings.label2id}
        size = count_parameters(config, classes)
        torch.manual_seed(config.seed)
        network = load_network(kind, weights.source, initial=True, **labels)  # built by its own config.json
        if sum(p.numel() for p in network.parameters()) != size:
            raise UserError("weights", f"{config.weights!r}: are not of backbone {config.backbone}", "name theirs")
    else:
        import_transformers()  # it warns about all backbones but Swin, although others are supported
        torch.manual_seed(config.seed)
        network = kind(settings)
        if weights is not None and isinstance(settings, SegformerConfig):  # its backbone is a part of the class
            network = load_network(kind, weights.source, initial=True, config=settings)
        elif weights is not None:  # Mask2Former's backbone, a network of its own
            encoder = network.model.pixel_level_module.encoder
            loaded = load_network(type(encoder), weights.source, initial=True, config=settings.backbone_config)
            encoder.load_state_dict(loaded.state_dict())
    if config.backbone == "r50" and weights is not None:
        # Batch norms keep their first statistics, as in Mask2Former's recipes: batches are too small for new ones.
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.requires_grad_(False)  # marks the layers that `Trainee` keeps in eval mode
    return network


def _design(config: TrainConfig) -> Design:
    return DESIGNS[config.architecture, config.backbone]


def _settings(config: TrainConfig, classes: Sequence[str]) -> Any:
    """transformers' configuration of the network."""
    design = _design(config)
    labels = dict(enumerate((BACKGROUND, *classes)))
    shared: dict[str, Any] = {"id2label": labels, "label2id": {name: i for i, name in labels.items()}}
    if config.architecture == "segformer":
        return SegformerConfig(**design.sizes, **shared)
    backbone = design.kind(**design.sizes, out_features=STAGES)  # type: ignore[call-arg]
    return Mask2FormerConfig(backbone_config=backbone, num_queries=config.queries, **design.decoder, **shared)


def count_parameters(config: TrainConfig, classes: Sequence[str]) -> int:
    """The number of parameters of the network to train. Takes no memory for weights."""
    with torch.device("meta"):
        return sum(p.numel() for p in NETWORKS[config.architecture](_settings(config, classes)).parameters())


def find_weights(config: TrainConfig) -> InitialWeights | None:
    """Where the initial weights come from; None for random ones. Reads only their config.json: loading checks their
    shapes. Raises UserError if it cannot be read, or has another architecture, backbone or number of queries."""
    if config.weights == "scratch":
        return None
    source = weights_source(config)
    kinds = dict.fromkeys((config.architecture, _design(config).kind.model_type))
    read = read_network_config(_config_file(config, source), kinds)
    is_whole = read["model_type"] == config.architecture and config.weights != "pretrained"
    count = read.get("num_queries", config.queries)
    if is_whole and count != config.queries:
        problem = f"{config.queries}: weights {config.weights!r} have {show_json(count)}"
        raise UserError("queries", problem, "name their backbone and queries, or use weights of just a backbone")
    return InitialWeights(source, is_whole)


def weights_source(config: TrainConfig) -> str:
    """The folder or hub id of the initial weights. Not for "scratch", which has none."""
    if config.weights == "pretrained":
        return _design(config).pretrained
    return config.weights


def _config_file(config: TrainConfig, source: str) -> Path:
    """The config.json of initial weights: in their folder, in the cache, or fetched."""
    if Path(source).is_dir():
        return Path(source) / "config.json"
    if not isinstance(path_or_address(source), Address):
        raise UserError("weights", f"{source} must be a folder or a hub id `owner/name`")
    try:
        return fetch_file(source, "config.json", "weights")
    except UserError as error:
        fix = error.fix
        if config.weights == "pretrained":
            fix += "; or --backbone tiny, which comes with SeeDiff"
        raise UserError("weights", error.problem, fix) from error


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 → (B, 3, H, W) float32, normalised for ImageNet backbones."""
    constants = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    mean, std = (torch.tensor(values, dtype=torch.float32, device=images.device) * 255 for values in constants)
    return ((images.float() - mean) / std).permute(0, 3, 1, 2).contiguous()


def class_scores(network: Network, images: torch.Tensor, dtype: str | None = None) -> torch.Tensor:
    """(B, C, H, W) float32, at least 0: how likely each class is at each pixel. images: (B, H, W, 3) uint8. dtype:
    None: as the weights are; "bfloat16": mixed precision."""
    with mixed_precision(images.device, dtype == "bfloat16"):
        output = network(pixel_values=to_pixels(images))
    if isinstance(network, SegformerForSemanticSegmentation):
        return F.interpolate(output.logits.float(), images.shape[1:3], mode="bilinear").softmax(1)
    classes = output.class_queries_logits.float().softmax(-1)[..., :-1]
    scores = []  # one image at a time, because the masks of all queries at full size take the most memory
    for of_image, masks in zip(classes, output.masks_queries_logits, strict=True):
        full = F.interpolate(masks[None].float(), images.shape[1:3], mode="bilinear").sigmoid()[0]
        scores.append(torch.einsum("qc,qhw->chw", of_image, full))
    return torch.stack(scores)


WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
FILES = "model*.safetensors"


def load_network(kind: Any, source: str, *, initial: bool = False, **options: Any) -> Any:
    """A network or a backbone, with its weights.

    kind: its transformers class. source: a local folder; or a hub id, whose files are fetched. initial: whether these
    are the first weights of a training, which may lack some tensors (`NEW` of weights.py). options: further arguments
    of `from_pretrained`. Raises UserError for weights that are missing, damaged, or of another network.
    """
    where = source
    if initial:
        where = f"weights = {source!r}"
    folder = Path(source)
    if not folder.is_dir():
        cached = cached_file(source, WEIGHTS) or cached_file(source, INDEX)
        if cached is None:
            folder = fetch_files(source, fnmatch.filter(hub_files(source, "weights"), FILES + "*"), "weights")
        else:
            folder = cached.parent
    with foreign_errors(where, f"cannot be loaded as {kind.__name__}"):
        import_transformers()
        role = "backbone" if initial else "segmenter"
        files = [*folder.glob(FILES)]
        check_parts([folder])
        network = load_checked(kind, source, role, where, files, **options)
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(where, f"{name} has values that are not numbers", "train it again")
    return network
