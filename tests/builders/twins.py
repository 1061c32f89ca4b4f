"""Narrow twins of the families: their exact classes, a few channels wide, with random weights from a seed, saved as
local folders.

This file has the parts that several twins share, the embedded model, and Stable Diffusion 1 and 2; other twins are in
`reference_attentions/`.
"""

import inspect
import json
from functools import lru_cache, wraps

import torch

WIDTH = 32
"""The width of the text encoders' states, and of everything that needs no other width."""


def saved(make):
    """Of a function that makes a pipeline: it saves the pipeline, with weights from a seed, in a folder, and returns
    the folder."""

    @wraps(make)
    def save(folder, **options):
        torch.manual_seed(0)
        make(**options).save_pretrained(folder)
        return folder

    return save


def sharpen(network):
    """Enlarge queries and keys, because untrained attention is almost uniform. Norms that follow and undo this are
    scaled too.
    """
    for name, weight in network.named_parameters():
        if any(part in name for part in ("to_q", "to_k", "add_q_proj", "add_k_proj", "norm_q", "norm_k", "norm_added")):
            weight.data *= 2 if "norm" in name else 4
    return network


def small_unet():
    """Stable Diffusion's network with two levels, and a layer of each kind in a block."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=16, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=8, attention_head_dim=2,
        norm_num_groups=4, down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    return network.eval().requires_grad_(False)


def autoencoder(channels, blocks, **more):
    """AutoencoderKL with 2^(blocks − 1) pixels per latent position in each direction."""
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


def vae_of_flux(blocks=2):
    return autoencoder(4, blocks, sample_size=32 * blocks, scaling_factor=0.3611, shift_factor=0.1159)


@lru_cache
def clip_tokenizer(pad="<|endoftext|>"):
    """A tokenizer of CLIP's class, for 77 tokens. The second tokenizer of SDXL and SD 3 pads with an exclamation
    mark.
    """
    from transformers import CLIPTokenizer

    from recipes.mini.text import build_tokenizer

    own = build_tokenizer()
    vocabulary = own.get_vocab()
    return CLIPTokenizer(vocab=vocabulary, merges=own._merges, model_max_length=77, pad_token=pad)


@lru_cache
def t5_tokenizer():
    """A tokenizer of T5's class that knows single letters and a few words: `potted` is one token, `dog` is four."""
    from transformers import T5Tokenizer

    words = ["▁a", "▁photo", "▁of", "▁and", "▁cat", "▁potted", "▁bus", "▁pl", "ant"]
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,.'0123456789-"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(word, -2.0) for word in words] + [(letter, -4.0) for letter in letters]
    vocabulary += [(f"<extra_id_{i}>", 0.0) for i in range(100)]
    return T5Tokenizer(vocab=vocabulary, model_max_length=512)


def clip_encoder(tokenizer, *, projected, width=WIDTH, **more):
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


def t5_encoder(tokenizer, width=WIDTH):
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=width, num_layers=2, num_heads=4)
    return T5EncoderModel(config)


def flow_scheduler(**more):
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**more)


UNCHECKED = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
"""Arguments of Stable Diffusion's pipelines."""


def save_mini(folder, side=16):
    """Save a twin of the embedded model: attention at `side`, side / 2 and side / 4, pictures of 4 · side, known
    classes.
    """
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    from recipes.mini.denoiser import build_scheduler
    from recipes.mini.text import build_text_encoder, build_tokenizer
    from seediff.mini import CLASSES

    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    unet = UNet2DConditionModel(
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
    vae = autoencoder(4, 3, mid_block_add_attention=False, sample_size=4 * side)
    parts = {"tokenizer": tokenizer, "text_encoder": build_text_encoder(side, tokenizer), "unet": unet, "vae": vae}
    StableDiffusionPipeline(**parts, **UNCHECKED, scheduler=build_scheduler()).save_pretrained(folder)
    (folder / "seediff.json").write_text(json.dumps({"classes": list(CLASSES)}), encoding="utf-8")
    return folder


def unet(*, second=False, **more):
    """A UNet of Stable Diffusion, for latents of 16² (so maps at 16, 8, 4 and 2) and images of 128². second: as in
    `save_unet`.
    """
    from diffusers import UNet2DConditionModel

    made = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32, 64, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=[2, 4, 8, 8] if second else 8,  # the number of heads, under its historical name
        use_linear_projection=second,
        norm_num_groups=8,
        **more,
    )
    return sharpen(made)


def unet_parts(*, second=False):
    """The parts of a Stable Diffusion pipeline that have weights, and the tokenizer."""
    tokenizer = clip_tokenizer()
    parts = {"unet": unet(second=second), "vae": autoencoder(4, 4, sample_size=128), "tokenizer": tokenizer}
    layers, act = (4, "gelu") if second else (3, "quick_gelu")
    tower = {"intermediate_size": 64, "num_hidden_layers": layers, "hidden_act": act}
    return parts | {"text_encoder": clip_encoder(tokenizer, projected=False, **tower)}


@saved
def save_unet(*, second=False):
    """Save a narrow twin of Stable Diffusion at 512². 1.x has the same number of heads at every level, 1 × 1
    convolutions around attention, and CLIP ViT-L's text tower. second: 2-base, with heads of one width, so that their
    number grows with the level, linear layers, and OpenCLIP's text tower."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return StableDiffusionPipeline(**unet_parts(second=second), **UNCHECKED, scheduler=scheduler)


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's chat template for a model that may think, or see."""


SPOKEN = "a photo of a cat and a potted plant , bus so on"
"""Words that are one token each; `dog` is three."""


def _trained(tokenizer, texts, size, specials):
    """Vocabulary and merges of a tokenizer of this class, learnt from texts."""
    from tokenizers import pre_tokenizers, trainers

    alphabet = (
        pre_tokenizers.ByteLevel.alphabet()
        if type(tokenizer).__name__ == "Qwen2Tokenizer"
        else list("abcdefghijklmnopqrstuvwxyz▁.,")
    )
    backend = tokenizer.backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(list(texts), trainer)
    model = json.loads(backend.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


@lru_cache
def qwen_tokenizer():
    """A tokenizer of Qwen's class, in which Qwen-Image's template has 34 tokens before the prompt, as in the real
    one.
    """
    from diffusers import QwenImagePipeline
    from transformers import Qwen2Tokenizer

    source = inspect.getsource(QwenImagePipeline.__init__)
    template = source.split('prompt_template_encode = "')[1].split('"\n')[0].replace("\\n", "\n")
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    words = template
    for special in specials:
        words = words.replace(special, "\n")
    vocabulary, merges = _trained(Qwen2Tokenizer(), [words, words.replace("\n", "\nuser\n"), SPOKEN] * 9, 900, specials)
    own = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, additional_special_tokens=list(specials[1:]), model_max_length=131072
    )
    own.chat_template = CHAT
    return own


def language(tokenizer, layers, width=WIDTH):
    """Sizes of a narrow language model."""
    return {"vocab_size": len(tokenizer), "num_hidden_layers": layers, **_tower(width)}


def _tower(width):
    heads = {"num_attention_heads": width // 8, "num_key_value_heads": width // 16, "head_dim": 8}
    return {"hidden_size": width, "intermediate_size": width, **heads}


QWEN_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
QWEN_IDS = {f"{name}_token_id": 0 for name in ("image", "video", "vision_start", "vision_end")}


def qwen3_vl(tokenizer):
    """The configuration of a narrow Qwen3-VL."""
    from transformers import Qwen3VLConfig

    return Qwen3VLConfig(
        text_config={
            **language(tokenizer, 3),
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 5e6},
        },
        vision_config={**QWEN_VISION, "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
        **QWEN_IDS,
    )


def vae_of_qwen_image(halvings):
    """AutoencoderKLQwenImage with 2^halvings pixels per latent position in each direction."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2][: halvings + 1],
        num_res_blocks=1,
        temperal_downsample=[False] * halvings,
        latents_mean=[-0.7, 0.1, 0.4, 1.5],
        latents_std=[2.8, 1.4, 2.3, 1.2],
    )


MISTRAL_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}[SYSTEM_PROMPT]{{ message.content[0].text }}[/SYSTEM_PROMPT]"
    "{% else %}[INST]{{ message.content[0].text }}[/INST]{% endif %}{% endfor %}"
)
"""Mistral Small's chat template, for messages of text only."""


@lru_cache
def mistral_tokenizer():
    """A tokenizer like Mistral's: one token before every text, and padding before that. It knows the words of FLUX.2's
    instruction.
    """
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

    specials = ("<unk>", "<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]")
    vocabulary, merges = _trained(Qwen2Tokenizer(), [SYSTEM_MESSAGE, SPOKEN] * 9, 900, specials)
    backend = Qwen2Tokenizer(vocab=vocabulary, merges=merges).backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    names = dict(zip(("unk_token", "bos_token", "eos_token", "pad_token"), specials, strict=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **names,
        additional_special_tokens=list(specials[4:]),
        padding_side="left",
        chat_template=MISTRAL_CHAT,
        model_max_length=1000000,
    )


MISTRAL_WIDTH = 16


def mistral3(tokenizer, layers):
    """The configuration of a narrow Mistral 3."""
    from transformers import Mistral3Config

    return Mistral3Config(
        tie_word_embeddings=False,
        text_config={"model_type": "mistral", **language(tokenizer, layers, MISTRAL_WIDTH)},
        vision_config={"model_type": "pixtral", "num_hidden_layers": 1, "image_size": 28, **_tower(MISTRAL_WIDTH)},
    )
