"""Stable Diffusion 1.4's and 2-base's exact shapes, with random weights, through the whole of generation with capture.

    python benchmarks/sd_shapes.py --shape sd1.4 --steps 2 --folder /tmp/sd14

Builds the pipeline (once; about 2 GB on disk in float16), saves it as a local folder, loads it as any model is loaded, and
generates at 512² with and without capture. Prints time (of the clock, and of the CPU, which says more on a busy machine),
peak memory, how many layers each map is the mean of, and whether the two images are the same bytes. The tokenizer is the
embedded model's own with Stable Diffusion's 77 places, so the text encoder's vocabulary is smaller than the original's;
nothing after the text encoder can tell.
Not part of CI: a step takes many seconds on a CPU.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

UNETS: dict[str, dict[str, Any]] = {
    "sd1.4": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,  # heads at every level, under diffusers' historical name
    },
    "sd2-base": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
}
TEXT_ENCODERS: dict[str, dict[str, Any]] = {
    "sd1.4": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
    },
    "sd2-base": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
    },
}
AUTOENCODER: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def build_folder(shape: str, folder: Path, dtype: torch.dtype) -> None:
    """Save a pipeline of that shape with random weights."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.utils import logging
    from transformers import CLIPTextConfig, CLIPTextModel

    from recipes.mini.text import build_tokenizer

    logging.set_verbosity_error()
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 77
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=77,
        bos_token_id=tokenizer.convert_tokens_to_ids(str(tokenizer.bos_token)),  # type: ignore[arg-type]
        eos_token_id=tokenizer.convert_tokens_to_ids(str(tokenizer.eos_token)),
        **TEXT_ENCODERS[shape],
    )
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL(**AUTOENCODER),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(**UNETS[shape]),
        scheduler=PNDMScheduler(**SCHEDULER),  # type: ignore[arg-type]
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipe.to(dtype).save_pretrained(folder)


def peak_bytes(device: str) -> int:
    """Of this process so far."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    from seediff.attention.capture import capture_attention
    from seediff.attention.generate import generate_batch
    from seediff.config.constants import CaptureConfig
    from seediff.models.registry import load_model
    from seediff.prompts.specs import SampleSpec

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=sorted(UNETS), default="sd2-base")
    parser.add_argument("--folder", type=Path, required=True, help="where the pipeline is saved; used again when it is there")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", help="default: cuda, else mps, else cpu")
    parser.add_argument("--dtype", help="default: float16 on cuda, else float32")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()

    if not (options.folder / "model_index.json").is_file():
        build_folder(options.shape, options.folder, torch.float16)
    started = time.perf_counter()
    model = load_model(str(options.folder), device=options.device, dtype=options.dtype)
    figures: dict[str, Any] = {"shape": options.shape, "device": model.device, "dtype": model.dtype, "batch": options.batch}
    figures |= {"unet_parameters": sum(p.numel() for p in model.pipe.unet.parameters()), "load_s": time.perf_counter() - started}
    figures["peak_gib_loaded"] = peak_bytes(model.device) / 2**30

    specs = [SampleSpec(i, ("dog",), "a photo of a dog", i) for i in range(options.batch)]
    started, cpu = time.perf_counter(), time.process_time()
    plain = model.pipe(
        [s.prompt for s in specs],
        num_inference_steps=options.steps,
        guidance_scale=7.5,
        negative_prompt=[""] * len(specs),
        generator=[torch.Generator().manual_seed(s.seed) for s in specs],
        output_type="np",
    ).images
    figures |= {"plain_s": time.perf_counter() - started, "plain_cpu_s": time.process_time() - cpu}
    figures["peak_gib_plain"] = peak_bytes(model.device) / 2**30

    started, cpu = time.perf_counter(), time.process_time()
    images, found = generate_batch(
        model, specs, steps=options.steps, guidance_scale=7.5, negative_prompt="", size=None, capture=CaptureConfig()
    )
    maps = found["all"]
    figures |= {"captured_s": time.perf_counter() - started, "captured_cpu_s": time.process_time() - cpu}
    figures["peak_gib_captured"] = peak_bytes(model.device) / 2**30
    figures["images_equal"] = bool(np.array_equal((plain * 255).round().astype(np.uint8), np.stack(images)))
    figures["self_attention"] = {side: list(tensor.shape) for (side, _), tensor in maps[0].self_attention.items()}
    figures["map_mib_per_image"] = sum(t.nbytes for m in (maps[0].self_attention, maps[0].cross_attention) for t in m.values()) / 2**20

    with torch.no_grad(), capture_attention(model.pipe.unet, CaptureConfig(), guidance=False) as recorder:
        latents = torch.zeros(1, 4, 32, 32, device=model.device, dtype=model.pipe.unet.dtype)  # half the side: quick
        model.pipe.unet(latents, 1, encoder_hidden_states=latents.new_zeros(1, 77, model.pipe.unet.config.cross_attention_dim))
    figures["layers"] = {side * 2: count for (side, _), count in recorder.layer_counts("self").items()}

    for name, value in figures.items():
        print(f"{name:20} {round(value, 3) if isinstance(value, float) else value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
