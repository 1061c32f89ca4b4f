import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from items import noise_pixels
from random_maps import CLASSES, random_maps
from refusals import user_error
from safetensors.torch import load_file

from seediff.config.methods import MaskConfig
from seediff.masks import sam
from seediff.masks.make_masks import make_masks
from seediff.masks.sam import load_sam, prompt_sam, refine_by_sam
from seediff.masks.steps import AFTER_PAMR, AFTER_SAM

IMAGE = noise_pixels(48, 64)
PROMPTS = {"hidden_size": 16, "image_size": 64, "mask_input_channels": 4}
SMALL = {"hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
DECODER = {**SMALL, "iou_head_hidden_dim": 16}


def save(folder, name, vision):
    kinds = {part: getattr(transformers, f"{name}{part}") for part in ("Config", "Model", "PromptEncoderConfig")}
    decoder = getattr(transformers, f"{name}MaskDecoderConfig")(**DECODER)
    prompts = kinds["PromptEncoderConfig"](**PROMPTS)
    torch.manual_seed(0)
    kinds["Model"](
        kinds["Config"](vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    ).save_pretrained(folder)
    return folder


def save_sam(folder):
    vision = transformers.SamVisionConfig(
        **SMALL, output_channels=16, image_size=64, num_pos_feats=8, global_attn_indexes=[0], window_size=2
    )
    return save(folder, "Sam", vision)


def save_sam2(folder):
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64], blocks_per_stage=[1, 1, 1, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[2, 2, 2, 2], global_attention_blocks=[],
        window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    sizes = {"backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16}
    sizes["backbone_feature_sizes"] = [[16, 16], [8, 8], [4, 4]]
    return save(folder, "Sam2", transformers.Sam2VisionConfig(backbone_config=backbone, **sizes))


@pytest.fixture(autouse=True)
def forgotten():
    load_sam.cache_clear()


@pytest.mark.parametrize("save", [save_sam, save_sam2])
def test_twins_answer_at_the_images_size_the_same_each_time(tmp_path, save, monkeypatch):
    folder = save(tmp_path / "sam")
    soft = torch.zeros(1, 48, 64)
    soft[0, 10:30, 20:50] = 0.9
    logits = prompt_sam(load_sam(str(folder)), IMAGE)(soft[0].logit(0.01), soft[0] > 0.5)
    assert logits.shape == (48, 64)
    assert logits.isfinite().all()
    monkeypatch.setattr(sam, "AGREE", 0.0)  # the twin knows nothing; every answer is taken
    first, second = (refine_by_sam(IMAGE, soft, str(folder), [0.3]) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, soft)
    assert 0 <= first.min() <= first.max() <= 1
    config = MaskConfig(sam=str(folder), pamr=False)
    results = [make_masks(IMAGE, random_maps(), CLASSES, config) for _ in range(2)]
    assert np.array_equal(results[0].label_map, results[1].label_map)
    both = make_masks(IMAGE, random_maps(), CLASSES, replace(config, pamr=True))
    assert list(both.trace["dog"])[-2:] == [AFTER_PAMR, AFTER_SAM]
    by_pamr, by_sam = [*both.trace["dog"].values()][-2:]
    assert torch.equal(by_sam, both.soft[0])
    assert not torch.equal(by_sam, by_pamr)


class Told:
    """A model whose mask is the same for every prompt: a box, in its own positions of 16 × 16."""

    device = "cpu"

    def __init__(self, model_type, box):
        prompts = SimpleNamespace(image_size=64, patch_size=16)
        self.config = SimpleNamespace(model_type=model_type, prompt_encoder_config=prompts)
        self.box, self.prompts = box, []

    def to(self, device):
        return self

    def get_image_embeddings(self, pixels):
        self.pixels = pixels
        return pixels

    def __call__(self, **prompt):
        self.prompts.append(prompt)
        masks = torch.full((1, 1, 1, 16, 16), -8.0)
        masks[(0, 0, 0, *self.box)] = 8.0
        return SimpleNamespace(pred_masks=masks)


def test_a_mask_that_agrees_replaces_the_piece_and_others_leave_it(monkeypatch):
    soft = torch.zeros(1, 48, 64)
    soft[0, 8:24, 8:24], soft[0, 10, 12] = 0.6, 0.7
    soft[0, 40:46, 50:62] = 0.5  # a second piece, which the answer does not overlap
    told = Told("sam", (slice(2, 6), slice(2, 7)))  # 8 to 24 down, 8 to 28 across, in pixels of 64, as the picture has
    monkeypatch.setattr(sam, "load_sam", lambda _: told)
    refined = refine_by_sam(IMAGE, soft, "told", [0.3])
    expected = torch.zeros(48, 64, dtype=torch.bool)
    expected[8:24, 8:28] = True
    mask = refined[0, :32] >= 0.3
    assert (mask != expected[:32]).float().mean() < 0.02  # its edges lie between positions
    assert mask[9:23, 9:27].all()
    assert torch.equal(refined[0, 32:], soft[0, 32:])
    first, second = told.prompts
    assert first["input_boxes"].tolist() == [[[8, 8, 23, 23]]]
    assert first["input_points"].tolist() == [[[[12, 10]]]]
    assert second["input_boxes"].tolist() == [[[50, 40, 61, 45]]]
    assert first["input_masks"].shape == (1, 1, 16, 16)
    assert first["input_masks"][0, 0, 4, 4] == pytest.approx(np.log(0.6 / 0.4) - np.log(0.3 / 0.7), abs=1e-5)
    assert told.pixels.shape == (1, 3, 64, 64)
    assert (told.pixels[..., 48:, :] == 0).all()  # the margin


def test_sam_2_sees_the_image_squeezed(monkeypatch):
    soft = torch.zeros(1, 48, 64)
    soft[0, 12:24, 8:24] = 0.6
    told = Told("sam2", (slice(4, 8), slice(2, 6)))
    monkeypatch.setattr(sam, "load_sam", lambda _: told)
    refined = refine_by_sam(IMAGE, soft, "told", [0.3])
    assert torch.allclose(told.prompts[0]["input_boxes"], torch.tensor([[[8.0, 16, 23, 23 * 64 / 48]]]))
    assert (refined[0] >= 0.3)[13:23, 9:23].all()


def test_what_is_no_sam_is_refused_in_a_line(tmp_path):
    with user_error(r"^mask\.sam: .*absent/model\.safetensors: no such .safetensors file"):
        make_masks(IMAGE, random_maps(), CLASSES, MaskConfig(sam=str(tmp_path / "absent"), pamr=False))
    for beside in (tmp_path, tmp_path / "file"):
        (tmp_path / "file").write_bytes(b"weights")
        with user_error(r"^mask\.sam: .*: must be a folder with config\.json and model\.safetensors"):
            load_sam(str(beside))
    folder = save_sam(tmp_path / "sam")
    settings = json.loads((folder / "config.json").read_text())
    for altered, problem in [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map = .* leads to code"),
        (
            {"model_type": "bert"},
            r"^mask.sam: .*sam: its config.json cannot be used \(there is no 'bert'\); name .* sam, sam2",
        ),
    ]:
        (folder / "config.json").write_text(json.dumps(settings | altered))
        with user_error(problem):
            load_sam(str(folder))


def test_a_video_model_is_read_without_its_memory(tmp_path):
    """As SAM 2 is published: what its video model adds is left out, and nothing else."""
    settings = json.loads((save_sam2(tmp_path / "image") / "config.json").read_text())
    parts = {name: part for name, part in settings.items() if name.endswith("_config")}
    for part in parts.values():
        del part["model_type"]
    narrow = ("attention_hidden_size", "attention_feed_forward_hidden_size", "encoder_hidden_size", "fuser_embed_dim")
    memory = dict.fromkeys((f"memory_{name}" for name in narrow), 16)
    config = transformers.Sam2VideoConfig(**parts, image_size=64, mask_downsampler_embed_dim=16, **memory)
    transformers.Sam2VideoModel(config).save_pretrained(tmp_path / "video")
    names = load_file(tmp_path / "video" / "model.safetensors").keys()
    assert {"no_object_pointer", "memory_attention.layer_norm.bias"} <= names
    assert isinstance(load_sam(str(tmp_path / "video")), transformers.Sam2Model)
