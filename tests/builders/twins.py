"""Narrow twins of the families: their exact classes, a few channels wide, randomly initialised from a seed, saved as local folders."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

WIDTH = 32
"""Of the text encoders' states, and of whatever has no reason for another width."""


def sharpen(network: torch.nn.Module, factor: float = 4) -> torch.nn.Module:
    """Untrained attention is all but uniform: larger queries and keys make maps differ. Norms that come after them are scaled instead."""
    for name, weight in network.named_parameters():
        if any(part in name for part in ("to_q", "to_k", "add_q_proj", "add_k_proj", "norm_q", "norm_k", "norm_added")):
            weight.data *= factor**0.5 if "norm" in name else factor
    return network


def autoencoder(channels: int, blocks: int, **more: Any) -> Any:
    """AutoencoderKL with 2^(blocks − 1) pixels a position of the latent."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        **more,
    )


@lru_cache
def clip_tokenizer(pad: str = "<|endoftext|>") -> Any:
    """CLIP's, with 77 places; the second of SDXL and SD 3 pads with an exclamation mark."""
    from transformers import CLIPTokenizer

    from recipes.mini.text import build_tokenizer

    own = build_tokenizer()
    vocabulary = own.get_vocab()
    return CLIPTokenizer(vocab=vocabulary, merges=own._merges, model_max_length=77, pad_token=pad)  # type: ignore[arg-type]


@lru_cache
def t5_tokenizer() -> Any:
    """T5's, of single letters and a few words: `potted` is one token, `dog` is three."""
    from transformers import T5Tokenizer

    words = ["▁a", "▁photo", "▁of", "▁and", "▁cat", "▁potted", "▁bus", "▁pl", "ant"]
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.'0123456789-"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(word, -2.0) for word in words] + [(letter, -4.0) for letter in letters]
    vocabulary += [(f"<extra_id_{i}>", 0.0) for i in range(100)]
    return T5Tokenizer(vocab=vocabulary, model_max_length=512)


def clip_encoder(tokenizer: Any, *, projected: bool, width: int = WIDTH, **more: Any) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    own = {"intermediate_size": width, "num_hidden_layers": 3} | more
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        projection_dim=width,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **own,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def t5_encoder(tokenizer: Any, width: int = WIDTH) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=width, num_layers=2, num_heads=4)
    return T5EncoderModel(config)


def flow_scheduler(**more: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**more)


def save_pipeline(folder: Path, **parts: Any) -> Path:
    """A pipeline of Stable Diffusion 1 and 2 of these parts."""
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline(
        **parts,
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_mini(folder: Path, side: int = 16) -> Path:
    """The embedded model's structure: attention at `side`, a half and a quarter of it, pictures of 4 times the side, known classes."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from recipes.mini.denoiser import build_scheduler
    from recipes.mini.text import build_text_encoder, build_tokenizer
    from seediff.mini.scenes import CLASSES

    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    unet: Any = UNet2DConditionModel(
        sample_size=side,
        block_out_channels=(side, side, 2 * side),
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        layers_per_block=1,
        cross_attention_dim=side,
        attention_head_dim=(1, 2, side // 4),
        norm_num_groups=side // 2,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(side // 2,) * 3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=side // 4,
        mid_block_add_attention=False,
        sample_size=4 * side,
    )
    text = build_text_encoder(side, tokenizer)
    save_pipeline(folder, unet=unet, vae=vae, text_encoder=text, tokenizer=tokenizer, scheduler=build_scheduler())
    (folder / "seediff.json").write_text(json.dumps({"classes": list(CLASSES)}), encoding="utf-8")
    return folder


def unet(*, second: bool = False, **more: Any) -> Any:
    """Of Stable Diffusion, for latents of 16² (so maps of 16, 8, 4 and 2) and images of 128²; `second`: as `save_unet` has it."""
    from diffusers import UNet2DConditionModel

    made: Any = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=[2, 4, 8, 8] if second else 8,  # type: ignore[arg-type]  # the number of heads, under its historical name
        use_linear_projection=second,
        norm_num_groups=8,
        **more,
    )
    return sharpen(made)


def unet_parts(*, second: bool = False) -> dict[str, Any]:
    """What of a pipeline of Stable Diffusion has weights, and the tokenizer."""
    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    parts = {"unet": unet(second=second), "vae": autoencoder(4, 4, sample_size=128), "tokenizer": tokenizer}
    tower = {"num_hidden_layers": 4, "hidden_act": "gelu"} if second else {"num_hidden_layers": 3, "hidden_act": "quick_gelu"}
    return parts | {"text_encoder": clip_encoder(tokenizer, projected=False, intermediate_size=64, **tower)}


def save_unet(folder: Path, *, second: bool = False) -> Path:
    """Stable Diffusion 1.x: the same number of heads at every level, 1 × 1 convolutions around attention, CLIP ViT-L's text tower.
    `second`: 2-base: heads of one width, so their number grows with the level, linear layers, OpenCLIP's text tower. A narrow twin of
    Stable Diffusion at 512²."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1
    )
    return save_pipeline(folder, **unet_parts(second=second), scheduler=scheduler)


def save_lcm(folder: Path) -> Path:
    """A latent consistency model: Stable Diffusion 1's parts, from whose weights distillation begins, in the UNet a projection of the
    guidance that it is told beside, and the scheduler of LCM."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    parts = unet_parts()
    told = unet(time_cond_proj_dim=WIDTH)
    told.load_state_dict(parts["unet"].state_dict(), strict=False)
    LatentConsistencyModelPipeline(
        **(parts | {"unet": told}),
        scheduler=LCMScheduler(),
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def save_xl(folder: Path) -> Path:
    """SDXL: no attention at L, 1, 2 and 3 layers a block where SDXL has 0, 2 and 10, latents of 16², images of 128²."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    torch.manual_seed(0)
    first, second = clip_tokenizer(), clip_tokenizer("!")
    unet: Any = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=(1, 2, 3),
        attention_head_dim=(2, 4, 8),
        cross_attention_dim=2 * WIDTH,
        use_linear_projection=True,
        norm_num_groups=8,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    StableDiffusionXLPipeline(
        vae=autoencoder(4, 4, sample_size=128, scaling_factor=0.13025),
        text_encoder=clip_encoder(first, projected=False),
        text_encoder_2=clip_encoder(second, projected=True),
        tokenizer=first,
        tokenizer_2=second,
        unet=sharpen(unet),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def save_sd3(folder: Path, *, qk_norm: str | None = "rms_norm", t5: bool = True) -> Path:
    """SD 3.5: three blocks, the first with a second attention of the picture alone; latents of 32², so 16² positions, images of 64²."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    torch.manual_seed(0)
    first, second, third = clip_tokenizer(), clip_tokenizer("!"), t5_tokenizer()
    transformer: Any = SD3Transformer2DModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=24,
        dual_attention_layers=(0,) if qk_norm else (),
        qk_norm=qk_norm,
    )
    StableDiffusion3Pipeline(
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=clip_encoder(first, projected=True),
        text_encoder_2=clip_encoder(second, projected=True),
        text_encoder_3=t5_encoder(third, 2 * WIDTH) if t5 else None,  # type: ignore[arg-type]
        tokenizer=first,
        tokenizer_2=second,
        tokenizer_3=third if t5 else None,
        transformer=sharpen(transformer),
        scheduler=flow_scheduler(shift=3.0),
    ).save_pretrained(folder)
    return folder


def save_flux(folder: Path, *, guidance: bool = True) -> Path:
    """FLUX.1: two blocks of two streams and two of one, rotary; `guidance` False: schnell. At 64 pixels, 16² positions."""
    from diffusers import FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer: Any = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    FluxPipeline(
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=clip_encoder(clip, projected=False),
        text_encoder_2=t5_encoder(t5),
        tokenizer=clip,
        tokenizer_2=t5,
        transformer=sharpen(transformer),
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True) if guidance else flow_scheduler(shift=1.0),
    ).save_pretrained(folder)
    return folder


def save_pixart(folder: Path, *, sigma: bool = False) -> Path:
    """PixArt-α, told the picture's size as at 1024², or -Σ, which is not: two blocks; latents of 32², so 16² positions, images of 64²."""
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer: Any = PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=32,
        sample_size=32,
        patch_size=2,
        caption_channels=WIDTH,
        use_additional_conditions=False,
    )
    (PixArtSigmaPipeline if sigma else PixArtAlphaPipeline)(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=0.13025),
        transformer=sharpen(transformer),
        scheduler=DPMSolverMultistepScheduler(),
    ).save_pretrained(folder)
    return folder
