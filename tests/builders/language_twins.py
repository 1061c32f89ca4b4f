"""Narrow twins of families whose text encoder is a language model, as `twins.py` has those of the others."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from builders.twins import WIDTH, autoencoder, flow_scheduler, sharpen, t5_encoder, t5_tokenizer

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's, of a model that may think."""

SPOKEN = "a photo of a cat and a potted plant , bus so on"
"""Words that are one token each; `dog` is three."""


def _trained(tokenizer: Any, texts: Sequence[str], size: int, specials: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a tokenizer of this class, learnt from texts."""
    from tokenizers import pre_tokenizers, trainers

    alphabet = (
        pre_tokenizers.ByteLevel.alphabet() if type(tokenizer).__name__ == "Qwen2Tokenizer" else list("abcdefghijklmnopqrstuvwxyz▁.,")
    )
    backend = tokenizer.backend_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(list(texts), trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


@lru_cache
def qwen_tokenizer() -> Any:
    """Qwen's; the template of Qwen-Image has 34 tokens before the prompt, as with the real one."""
    from diffusers import QwenImagePipeline
    from transformers import Qwen2Tokenizer

    source = inspect.getsource(QwenImagePipeline.__init__)
    template = source.split('prompt_template_encode = "')[1].split('"\n')[0].replace("\\n", "\n")
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    words = template
    for special in specials:
        words = words.replace(special, "\n")
    vocabulary, merges = _trained(Qwen2Tokenizer(), [words, words.replace("\n", "\nuser\n"), SPOKEN] * 9, 900, specials)
    own = Qwen2Tokenizer(vocab=vocabulary, merges=merges, additional_special_tokens=list(specials[1:]), model_max_length=131072)
    own.chat_template = CHAT
    return own


@lru_cache
def gemma_tokenizer() -> Any:
    """Gemma's, which knows the words of Sana's instruction."""
    from diffusers import SanaPipeline
    from transformers import GemmaTokenizer

    lines = inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default
    words = [f" {word}" for line in lines for word in line.split()] + [f" {word}" for word in SPOKEN.split()] * 9
    specials = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    vocabulary, merges = _trained(GemmaTokenizer(), words, 900, specials)
    return GemmaTokenizer(vocab=vocabulary, merges=merges, model_max_length=8192)


def save_z_image(folder: Path) -> Path:
    """Z-Image: two blocks that see the picture, two that see the text, and two of both; at 64 pixels, 16² positions."""
    from diffusers import ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    encoder = Qwen3Model(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
        )
    )
    transformer: Any = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=2,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=WIDTH,
        axes_dims=[4, 6, 6],
        axes_lens=[1024, 32, 32],
    )
    torch.nn.init.normal_(transformer.x_pad_token)
    torch.nn.init.normal_(transformer.cap_pad_token)
    ZImagePipeline(
        scheduler=flow_scheduler(shift=3.0),
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    ).save_pretrained(folder)
    return folder


def save_chroma(folder: Path) -> Path:
    """Chroma: two blocks of two streams and two of one; at 64 pixels, 16² positions."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer: Any = ChromaTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
        approximator_num_channels=8,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    ChromaPipeline(
        scheduler=flow_scheduler(shift=3.0, use_dynamic_shifting=True),
        vae=autoencoder(4, 2, sample_size=64, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=t5_encoder(tokenizer),
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    ).save_pretrained(folder)
    return folder


def save_qwen_image(folder: Path) -> Path:
    """Qwen-Image: two blocks of two streams; at 64 pixels, 16² positions."""
    from diffusers import AutoencoderKLQwenImage, QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": WIDTH,
                "intermediate_size": WIDTH,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
            },
            vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH},
            **{f"{name}_token_id": 0 for name in ("image", "video", "vision_start", "vision_end")},
        )
    )
    transformer: Any = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[-0.7, 0.1, 0.4, 1.5],
        latents_std=[2.8, 1.4, 2.3, 1.2],
    )
    QwenImagePipeline(
        scheduler=flow_scheduler(shift=1.0, use_dynamic_shifting=True),
        vae=vae,  # type: ignore[arg-type]
        text_encoder=encoder,
        tokenizer=tokenizer,
        transformer=sharpen(transformer),
    ).save_pretrained(folder)
    return folder


def save_sana(folder: Path, *, qk_norm: str | None = None) -> Path:
    """Sana, or with `qk_norm` Sana 1.5: two blocks; latents of 16², images of 64²."""
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    torch.manual_seed(0)
    tokenizer = gemma_tokenizer()
    encoder = Gemma2Model(
        Gemma2Config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
        )
    )
    transformer: Any = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=WIDTH,
        sample_size=16,
        qk_norm=qk_norm,
    )
    vae = AutoencoderDC(
        latent_channels=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        encoder_layers_per_block=(1, 1, 1),
        decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()),
        decoder_qkv_multiscales=((), (), ()),
        scaling_factor=0.41407,
    )
    SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        vae=vae,
        transformer=sharpen(transformer),
        scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    ).save_pretrained(folder)
    return folder
