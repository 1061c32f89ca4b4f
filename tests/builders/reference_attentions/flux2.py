"""FLUX.2 dev: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import json

import torch
from builders.eager import Book, softmax_of
from builders.reference_attentions.flux import behind_t5, packed, turned
from builders.twins import MISTRAL_WIDTH, flow_scheduler, mistral3, mistral_tokenizer, sharpen


def parts(*, guidance):
    """All parts except the text's: two blocks of two streams and two of one, rotary; at 64 pixels, 16² positions."""
    from diffusers import Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * MISTRAL_WIDTH,  # the states of three layers
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance,
    )
    transformer = sharpen(transformer)
    return {
        "transformer": transformer,
        "vae": vae_of_flux2(),
        "scheduler": flow_scheduler(shift=3.0, use_dynamic_shifting=True),
    }


def vae_of_flux2():
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
    )
    torch.nn.init.normal_(vae.bn.running_mean)
    torch.nn.init.uniform_(vae.bn.running_var, 0.5, 2)
    return vae


def save_flux2(folder):
    from diffusers import Flux2Pipeline
    from transformers import Mistral3ForConditionalGeneration

    torch.manual_seed(0)
    tokenizer = mistral_tokenizer()
    encoder = Mistral3ForConditionalGeneration(mistral3(tokenizer, 31))
    Flux2Pipeline(**parts(guidance=True), text_encoder=encoder, tokenizer=tokenizer).save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["tokenizer"] = ["transformers", "PixtralProcessor"]  # as published; it cannot be made without torchvision
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def fused(attention, hidden, given):
    """Flux2AttnProcessor, which computes as FLUX.1's does, and Flux2ParallelSelfAttnProcessor by hand."""
    if not hasattr(attention, "to_qkv_mlp_proj"):
        return packed(attention, hidden, given)
    query, key, *_ = attention.to_qkv_mlp_proj(hidden).split(attention.heads * attention.head_dim, 2)
    split = (
        norm(states.unflatten(2, (attention.heads, -1)))
        for norm, states in ((attention.norm_q, query), (attention.norm_k, key))
    )
    return softmax_of(*(turned(states, given) for states in split))


def plain(guidance, _negative):
    return {"guidance_scale": guidance}


BOOK = Book(save_flux2, fused, behind_t5, plain=plain, level=0.1)
