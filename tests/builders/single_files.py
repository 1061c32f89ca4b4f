"""Converts a twin's folder to a single file with the tensor names of the model's authors, as A1111, ComfyUI and the
authors' own programs write it: the reverse of diffusers' converters.
"""

import json
import re

import torch
from safetensors.torch import load_file, save_file


def table(text):
    """(diffusers' name, the authors' name) of each line."""
    return [(new, old) for new, old in map(str.split, text.strip().splitlines())]


RESNET = table("""
    norm1 in_layers.0
    conv1 in_layers.2
    norm2 out_layers.0
    conv2 out_layers.3
    time_emb_proj emb_layers.1
    conv_shortcut skip_connection
""")
UNET = table("""
    time_embedding.linear_1 time_embed.0
    time_embedding.linear_2 time_embed.2
    add_embedding.linear_1 label_emb.0.0
    add_embedding.linear_2 label_emb.0.2
    conv_in input_blocks.0.0
    conv_norm_out out.0
    conv_out out.2
    mid_block.resnets.0 middle_block.0
    mid_block.attentions.0 middle_block.1
    mid_block.resnets.1 middle_block.2
""")


def replaced(name, names):
    for new, old in names:
        name = name.replace(new, old)
    return name


def unet(state):
    """The UNet of Stable Diffusion 1, 2 and XL. A downsampler is a block of its own; an upsampler joins the block of
    the last layer.
    """
    made = {}
    for name, tensor in state.items():
        block = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
        if block is None:
            key = replaced(name, UNET)
        else:
            side, number, kind, layer, rest = block[1], int(block[2]), block[3], int(block[4]), block[5]
            if side == "down":
                at = f"input_blocks.{3 * number + layer + 1}"
                key = f"input_blocks.{3 * number + 3}.0.{rest.replace('conv', 'op')}" if kind == "downsamplers" else ""
            else:
                at = f"output_blocks.{3 * number + layer}"
                attended = any(other.startswith(f"up_blocks.{number}.attentions") for other in state)
                key = f"output_blocks.{3 * number + 2}.{1 + attended}.{rest}" if kind == "upsamplers" else ""
            key = key or f"{at}.{0 if kind == 'resnets' else 1}.{rest}"
        made[replaced(key, RESNET) if ".transformer_blocks." not in key and not key.startswith("out.") else key] = (
            tensor
        )
    return made


VAE = table("""
    conv_norm_out norm_out
    conv_shortcut nin_shortcut
    mid_block.resnets.0 mid.block_1
    mid_block.resnets.1 mid.block_2
    mid_block.attentions.0 mid.attn_1
    group_norm norm
    to_q q
    to_k k
    to_v v
    to_out.0 proj_out
""")


def vae(state):
    """The autoencoder. The decoder's blocks are counted from the finest; attention is made of 1 × 1 convolutions."""
    blocks = 1 + max(int(name.split(".")[2]) for name in state if ".up_blocks." in name)
    made = {}
    for name, tensor in state.items():
        key = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
        key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
        key = re.sub(r"up_blocks\.(\d+)\.resnets", lambda found: f"up.{blocks - 1 - int(found[1])}.block", key)
        key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", key)
        key = replaced(key, VAE)
        made[key] = tensor[:, :, None, None] if "attn_1" in key and tensor.ndim == 2 else tensor
    return made


def clip(state):
    """CLIP with the names that transformers wrote before version 5.6."""
    made = {
        name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}": tensor
        for name, tensor in state.items()
    }
    return {**made, "text_model.embeddings.position_ids": torch.arange(77)[None]}


def sd3_clip(state):
    """CLIP without its projection, which SD 3's files lack for the first text encoder: it is the identity."""
    return {name: tensor for name, tensor in clip(state).items() if name != "text_projection.weight"}


OPEN_CLIP = table("""
    encoder.layers transformer.resblocks
    layer_norm1 ln_1
    layer_norm2 ln_2
    mlp.fc1 mlp.c_fc
    mlp.fc2 mlp.c_proj
    self_attn attn
    final_layer_norm ln_final
    embeddings.token_embedding token_embedding
    embeddings.position_embedding.weight positional_embedding
""")


def open_clip(state):
    made = {}
    for name, tensor in state.items():
        key = replaced(name.removeprefix("text_model."), OPEN_CLIP)
        made[key] = tensor
    width = made["ln_final.weight"].shape[0]
    made["text_projection"] = (
        made.pop("text_projection.weight").T.contiguous() if "text_projection.weight" in made else torch.eye(width)
    )
    for part in ("weight", "bias"):
        join_qkv(made, f"{{}}.attn.*_proj.{part}", f"{{}}.attn.in_proj_{part}")
    return {**made, "logit_scale": torch.ones(())}


def join(made, parts, joined):
    """Concatenate tensors that diffusers keeps apart, wherever there are all of `parts`. {} in the names: what comes
    before.
    """
    first = re.escape(parts[0]).replace(r"\{\}", "(.*)")
    for found in filter(None, (re.fullmatch(first, name) for name in list(made))):
        made[joined.format(found[1])] = torch.cat([made.pop(part.format(found[1])) for part in parts])


def join_qkv(made, each, joined):
    """each: the name of one of the three, with * for its letter."""
    join(made, [each.replace("*", letter) for letter in "qkv"], joined)


def swapped(tensor):
    """The tensor with scale and shift exchanged."""
    return torch.cat(tensor.chunk(2)[::-1])


FLUX = table("""
    time_text_embed.timestep_embedder.linear_1 time_in.in_layer
    time_text_embed.timestep_embedder.linear_2 time_in.out_layer
    time_text_embed.text_embedder.linear_1 vector_in.in_layer
    time_text_embed.text_embedder.linear_2 vector_in.out_layer
    time_text_embed.guidance_embedder.linear_1 guidance_in.in_layer
    time_text_embed.guidance_embedder.linear_2 guidance_in.out_layer
    context_embedder txt_in
    x_embedder img_in
    norm_out.linear final_layer.adaLN_modulation.1
    norm1_context.linear txt_mod.lin
    norm1.linear img_mod.lin
    ff_context.net.0.proj txt_mlp.0
    ff_context.net.2 txt_mlp.2
    ff.net.0.proj img_mlp.0
    ff.net.2 img_mlp.2
    attn.to_add_out txt_attn.proj
    attn.to_out.0 img_attn.proj
    attn.norm_added_q.weight txt_attn.norm.query_norm.scale
    attn.norm_added_k.weight txt_attn.norm.key_norm.scale
    norm.linear modulation.lin
    single_transformer_blocks single_blocks
    transformer_blocks double_blocks
""")


def flux(state):
    made = dict(state)
    for part in ("weight", "bias"):
        single = [f"single_{{}}.{name}.{part}" for name in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")]
        join(made, single, f"single_{{}}.linear1.{part}")
        join_qkv(made, f"{{}}.attn.add_*_proj.{part}", f"{{}}.txt_attn.qkv.{part}")
        join_qkv(made, f"{{}}.attn.to_*.{part}", f"{{}}.img_attn.qkv.{part}")
        made[f"norm_out.linear.{part}"] = swapped(made[f"norm_out.linear.{part}"])
    renamed = {}
    for name, tensor in made.items():
        key = (
            "final_layer.linear" + name.removeprefix("proj_out")
            if name.startswith("proj_out")
            else replaced(name, FLUX)
        )
        key = re.sub(r"(single_blocks\.\d+)\.proj_out", r"\1.linear2", key)
        for c, which in (("q", "query"), ("k", "key")):
            key = re.sub(rf"(single_blocks\.\d+)\.attn\.norm_{c}\.weight", rf"\1.norm.{which}_norm.scale", key)
            key = re.sub(rf"(double_blocks\.\d+)\.attn\.norm_{c}\.weight", rf"\1.img_attn.norm.{which}_norm.scale", key)
        renamed[key] = tensor
    return renamed


KREA = table("""
    img_in. first.
    time_embed.linear_1. tmlp.0.
    time_embed.linear_2. tmlp.2.
    time_mod_proj. tproj.1.
    txt_in.norm.weight txtmlp.0.scale
    txt_in.linear_1. txtmlp.1.
    txt_in.linear_2. txtmlp.3.
    text_fusion. txtfusion.
    transformer_blocks. blocks.
    final_layer.linear. last.linear.
    final_layer.norm.weight last.norm.scale
    final_layer.scale_shift_table last.modulation.lin
    .attn.to_q. .attn.wq.
    .attn.to_k. .attn.wk.
    .attn.to_v. .attn.wv.
    .attn.to_out.0. .attn.wo.
    .attn.to_gate. .attn.gate.
    .attn.norm_q.weight .attn.qknorm.qnorm.scale
    .attn.norm_k.weight .attn.qknorm.knorm.scale
    .ff. .mlp.
    .norm1.weight .prenorm.scale
    .norm2.weight .postnorm.scale
    .scale_shift_table .mod.lin
""")


def krea(state):
    """Krea 2's network: a block's six vectors of modulation are one."""
    flat = {
        name: tensor.flatten() if name.endswith(".scale_shift_table") and "blocks" in name else tensor
        for name, tensor in state.items()
    }
    return {replaced(name, KREA): tensor for name, tensor in flat.items()}


def qwen_21(state):
    """Qwen-Image 2.1's network, where two layers of a block are one."""
    made = dict(state)
    join(made, ["{}img_mlp.gate_layer.weight", "{}img_mlp.proj.weight"], "{}img_mlp.gate_up.weight")
    return made


def same(state):
    return dict(state)


T5 = ("text_encoders.t5xxl.transformer.", same)
FIRST = ("vae.", vae)
LDM = ("first_stage_model.", vae)
FORMATS = {
    "unet": {"unet": ("", unet), "vae": LDM, "text_encoder": ("cond_stage_model.transformer.", clip)},
    "xl": {
        "unet": ("", unet),
        "vae": LDM,
        "text_encoder": ("conditioner.embedders.0.transformer.", clip),
        "text_encoder_2": ("conditioner.embedders.1.model.", open_clip),
    },
    "sd3": {
        "transformer": ("", same),
        "vae": LDM,
        "text_encoder": ("text_encoders.clip_l.transformer.", sd3_clip),
        "text_encoder_2": ("text_encoders.clip_g.transformer.", clip),
        "text_encoder_3": T5,
    },
    "flux": {
        "transformer": ("", flux),
        "vae": FIRST,
        "text_encoder": ("text_encoders.clip_l.transformer.", clip),
        "text_encoder_2": T5,
    },
    "qwen_image": {"transformer": ("", same)},
    "qwen_image_21": {"transformer": ("", qwen_21)},
    "krea2": {"transformer": ("", krea)},
}
"""Family → part → (prefix of its names, empty for the network, whose prefix is NETWORK; the function that renames its
tensors).
"""
NETWORK = "model.diffusion_model."


def rewrite(path, change):
    """Change the tensors of a file. change: the tensors by name → those to write."""
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def configure(path, **values):
    """Change values of a file of JSON."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def part_state(folder, part):
    """All tensors of a part of a pipeline's folder."""
    files = sorted((folder / part).glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def single_file(folder, family, parts=None, *, prefix=NETWORK):
    """The tensors of a single file. parts: the parts that it has; None: all that such files have. prefix: of the
    network's names.
    """
    made = {}
    for part, (start, rename) in FORMATS[family].items():
        if (parts is None or part in parts) and (folder / part).is_dir():
            made |= {
                (start or prefix) + name: tensor.clone().contiguous()
                for name, tensor in rename(part_state(folder, part)).items()
            }
    return made


def save_single_file(path, folder, family, parts=None, **more):
    save_file(single_file(folder, family, parts, **more), path, metadata={"modelspec.title": json.dumps(family)})
    return path
