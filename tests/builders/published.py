"""Published configurations of models: the values in which each differs from the defaults of diffusers and transformers,
from the models' papers and diffusers' own conversion scripts. Networks are made on torch's meta device, without memory.
"""

import json
from functools import cache
from importlib import import_module

import torch

from seediff.models.families import pipeline_family
from seediff.models.known import BY_NAME

UNET_1 = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
UNET_2 = {**UNET_1, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
UNET_XL = {
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
UNET_SSD = {
    **UNET_XL,
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": [[1], [2, 2], [4, 4]],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
}
PIXART = {
    "sample_size": 128,
    "use_additional_conditions": False,
    "caption_channels": 4096,
    "norm_elementwise_affine": False,
}
SD3 = {
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "joint_attention_dim": 4096,
    "out_channels": 16,
    "num_layers": 24,
}
SD3 |= {"num_attention_heads": 24, "pos_embed_max_size": 192}
SD3_LARGE = {**SD3, "num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"}

KLEIN_4B = {
    "num_layers": 5,
    "num_single_layers": 20,
    "num_attention_heads": 24,
    "joint_attention_dim": 7680,
    "guidance_embeds": False,
}
KLEIN_9B = {
    "num_layers": 8,
    "num_single_layers": 24,
    "num_attention_heads": 32,
    "joint_attention_dim": 12288,
    "guidance_embeds": False,
}
ERNIE = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_layers": 36,
    "ffn_hidden_size": 12288,
    "text_in_dim": 3072,
}
FLUX2 = ("flux2-dev", "klein-4b", "klein-base-4b", "klein-9b", "klein-base-9b")
NETWORKS = {
    "sd1.4": ("UNet2DConditionModel", UNET_1),
    "sd1.5": ("UNet2DConditionModel", UNET_1),
    "sd2-base": ("UNet2DConditionModel", UNET_2),
    "sd2.1-base": ("UNet2DConditionModel", UNET_2),
    "sd2.1": ("UNet2DConditionModel", {**UNET_2, "sample_size": 96, "upcast_attention": True}),
    "lcm-dreamshaper": ("UNet2DConditionModel", {**UNET_1, "sample_size": 96, "time_cond_proj_dim": 256}),
    "sdxl": ("UNet2DConditionModel", UNET_XL),
    "sdxl-turbo": ("UNet2DConditionModel", {**UNET_XL, "sample_size": 64}),
    "ssd-1b": ("UNet2DConditionModel", UNET_SSD),
    "sd3": ("SD3Transformer2DModel", SD3),
    "sd3.5-medium": (
        "SD3Transformer2DModel",
        {**SD3, "pos_embed_max_size": 384, "qk_norm": "rms_norm", "dual_attention_layers": list(range(13))},
    ),
    "sd3.5-large": ("SD3Transformer2DModel", SD3_LARGE),
    "sd3.5-large-turbo": ("SD3Transformer2DModel", SD3_LARGE),
    "flux-dev": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "flux-schnell": ("FluxTransformer2DModel", {}),
    "flux2-dev": ("Flux2Transformer2DModel", {}),
    **dict.fromkeys(("klein-4b", "klein-base-4b"), ("Flux2Transformer2DModel", KLEIN_4B)),
    **dict.fromkeys(("klein-9b", "klein-base-9b"), ("Flux2Transformer2DModel", KLEIN_9B)),
    "pixart-alpha": ("PixArtTransformer2DModel", {**PIXART, "use_additional_conditions": True}),
    "pixart-sigma": ("PixArtTransformer2DModel", PIXART),
    "z-image": ("ZImageTransformer2DModel", {}),
    "z-image-turbo": ("ZImageTransformer2DModel", {}),
    "chroma": ("ChromaTransformer2DModel", {}),
    "qwen-image": ("QwenImageTransformer2DModel", {}),
    "ernie-image": ("ErnieImageTransformer2DModel", ERNIE),
    "ernie-image-turbo": ("ErnieImageTransformer2DModel", ERNIE),
    "lumina2": ("Lumina2Transformer2DModel", {"cap_feat_dim": 2304}),
    "sana": ("SanaTransformer2DModel", {}),
}
"""Short name → (class, its configuration). SSD-1B's is from a program that loads its weights from a single file."""

KL = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
}
KL_XL = {**KL, "scaling_factor": 0.13025}
KL_16 = {**KL, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
KL_SD3 = {**KL_16, "scaling_factor": 1.5305, "shift_factor": 0.0609}
KL_FLUX = {**KL_16, "scaling_factor": 0.3611, "shift_factor": 0.1159}
DC = {
    "latent_channels": 32,
    "encoder_block_types": ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
    "decoder_block_types": ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
    "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
    "decoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
    "encoder_layers_per_block": [2, 2, 2, 3, 3, 3],
    "decoder_layers_per_block": [3, 3, 3, 3, 3, 3],
    "encoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
    "decoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
    "downsample_block_type": "conv",
    "upsample_block_type": "interpolate",
    "scaling_factor": 0.41407,
}
AUTOENCODERS = {
    **dict.fromkeys(
        ("sd1.4", "sd1.5", "sd2-base", "sd2.1-base", "sd2.1", "lcm-dreamshaper", "pixart-alpha"), ("AutoencoderKL", KL)
    ),
    **dict.fromkeys(("sdxl", "sdxl-turbo", "ssd-1b", "pixart-sigma"), ("AutoencoderKL", KL_XL)),
    **dict.fromkeys(("sd3", "sd3.5-medium", "sd3.5-large", "sd3.5-large-turbo"), ("AutoencoderKL", KL_SD3)),
    **dict.fromkeys(
        ("flux-dev", "flux-schnell", "z-image", "z-image-turbo", "chroma", "lumina2"), ("AutoencoderKL", KL_FLUX)
    ),
    **dict.fromkeys(
        (*FLUX2, "ernie-image", "ernie-image-turbo"),
        ("AutoencoderKLFlux2", {"block_out_channels": [128, 256, 512, 512]}),
    ),
    "qwen-image": ("AutoencoderKLQwenImage", {"temperal_downsample": [False, True, True]}),
    "sana": ("AutoencoderDC", DC),
}

CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
CLIP_H = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "projection_dim": 512,
}
T5 = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "d_kv": 64,
    "feed_forward_proj": "gated-gelu",
}
QWEN_3 = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
}
QWEN_3 |= {"num_key_value_heads": 8, "head_dim": 128}
QWEN_3_8B = {**QWEN_3, "hidden_size": 4096, "intermediate_size": 12288}
MISTRAL = {
    "model_type": "mistral",
    "vocab_size": 131072,
    "hidden_size": 5120,
    "intermediate_size": 32768,
    "num_hidden_layers": 40,
}
MISTRAL |= {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
MINISTRAL = {**MISTRAL, "hidden_size": 3072, "intermediate_size": 9216, "num_hidden_layers": 26}
PIXTRAL = {
    "model_type": "pixtral",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
PIXTRAL |= {"image_size": 1540, "patch_size": 14}
QWEN_VL = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
}
QWEN_VL |= {"num_key_value_heads": 4}
VISION = {"hidden_size": 1280, "intermediate_size": 3420, "depth": 32, "num_heads": 16, "out_hidden_size": 3584}
GEMMA = {
    "vocab_size": 256000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
}
GEMMA |= {"num_key_value_heads": 4, "head_dim": 256}
L, G, H = ("CLIPTextModel", CLIP_L), ("CLIPTextModelWithProjection", CLIP_G), ("CLIPTextModel", CLIP_H)
TEXT_ENCODERS = {
    **dict.fromkeys(("sd1.4", "sd1.5", "lcm-dreamshaper"), (L,)),
    **dict.fromkeys(("sd2-base", "sd2.1-base", "sd2.1"), (H,)),
    **dict.fromkeys(("sdxl", "sdxl-turbo", "ssd-1b"), (L, G)),
    **dict.fromkeys(
        ("sd3", "sd3.5-medium", "sd3.5-large", "sd3.5-large-turbo"),
        (("CLIPTextModelWithProjection", CLIP_L), G, ("T5EncoderModel", T5)),
    ),
    **dict.fromkeys(("flux-dev", "flux-schnell"), (L, ("T5EncoderModel", T5))),
    **dict.fromkeys(("pixart-alpha", "pixart-sigma", "chroma"), (("T5EncoderModel", T5),)),
    **dict.fromkeys(("z-image", "z-image-turbo"), (("Qwen3Model", QWEN_3),)),
    "flux2-dev": (
        (
            "Mistral3ForConditionalGeneration",
            {"text_config": MISTRAL, "vision_config": PIXTRAL, "tie_word_embeddings": False},
        ),
    ),
    **dict.fromkeys(("klein-4b", "klein-base-4b"), (("Qwen3ForCausalLM", {**QWEN_3, "tie_word_embeddings": True}),)),
    **dict.fromkeys(("klein-9b", "klein-base-9b"), (("Qwen3ForCausalLM", QWEN_3_8B),)),
    **dict.fromkeys(
        ("ernie-image", "ernie-image-turbo"), (("Mistral3Model", {"text_config": MINISTRAL, "vision_config": PIXTRAL}),)
    ),
    "qwen-image": (("Qwen2_5_VLForConditionalGeneration", {"text_config": QWEN_VL, "vision_config": VISION}),),
    **dict.fromkeys(("lumina2", "sana"), (("Gemma2Model", GEMMA),)),
}


def network(name):
    """The network that has the attention, on the meta device."""
    return _made("diffusers", *NETWORKS[name])


def parameters(name):
    """The number of stored values of each part of a model."""
    texts = [_made("transformers", *one) for one in TEXT_ENCODERS[name]]
    return [stored([part]) for part in (network(name), _made("diffusers", *AUTOENCODERS[name]), *texts)]


def stored(parts):
    """The number of stored values of all parts: parameters and persistent buffers, such as Stable Diffusion 3's table
    of positions.
    """
    buffers = [
        buffer
        for part in parts
        for module in part.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name not in module._non_persistent_buffers_set
    ]
    return sum(weight.numel() for weight in (*buffers, *(weight for part in parts for weight in part.parameters())))


def _made(library, kind, config):
    return _made_once(library, kind, json.dumps(config))


@cache
def _made_once(library, kind, config):
    model = getattr(import_module(library), kind)
    given = json.loads(config)
    with torch.device("meta"):
        return model(model.config_class(**given)) if library == "transformers" else model.from_config(given)


def written(name, folder):
    """Write the small files of a model, as the hub's cache holds them before the weights arrive; returns the folder."""
    pipeline = BY_NAME[name].pipeline
    family = pipeline_family(pipeline)
    assert family is not None
    files = {"model_index.json": {"_class_name": pipeline}, f"{family.network}/config.json": saved_config(name)}
    for path, content in (files | {"vae/config.json": AUTOENCODERS[name][1]}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(content))
    return folder


@cache
def saved_config(name):
    """The network's config.json: all values, including defaults."""
    return dict(network(name).config)


def groups_of(family):
    """The sides of a network that a family distinguishes."""
    return ("all", "up", "down", "last") if family.network == "unet" else ("all",)
