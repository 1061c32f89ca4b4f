"""Stage 2 of the recipe: the UNet and the text encoder, trained together on the latents of the rendered scenes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

from ...config.names import spoken
from ...devices import default_device, mixed_precision
from ...files.arrays import map_array
from ...files.outputs import open_new, replaced_file
from ..world.pixels import to_pixels
from ..world.scene import CLASSES
from .checkpoint import load_checkpoint, save_checkpoint
from .coarse import CoarseHeads, pooled, predict_coarse
from .grouping import AttentionTap, attach, grouping_loss
from .muon import Muon
from .recipe import DENOISER_GROUPS, Recipe
from .text import build_text_encoder, build_tokenizer

MAX_CLASSES = 3
MIDDLE = 2  # the latent side over the middle level's
CHECKPOINT = "denoiser.safetensors"


class Denoiser(torch.nn.Module):
    """What is trained in this stage, as one module: `unet`, `text_encoder`, and `coarse`, which is left behind."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        config = recipe.denoiser
        levels = len(config.channels)
        self.tokenizer = build_tokenizer()
        self.text_encoder = build_text_encoder(config.text_width, self.tokenizer)
        self.unet = UNet2DConditionModel(
            sample_size=recipe.side // 4,
            in_channels=4,
            out_channels=4,
            block_out_channels=config.channels,
            down_block_types=("CrossAttnDownBlock2D",) * levels,
            mid_block_type="UNetMidBlock2DCrossAttn",
            up_block_types=("CrossAttnUpBlock2D",) * levels,
            layers_per_block=1,
            cross_attention_dim=config.text_width,
            attention_head_dim=config.heads,  # type: ignore[arg-type]  # the number of heads, under diffusers' historical name
            norm_num_groups=DENOISER_GROUPS,
            use_linear_projection=True,
        )
        self.coarse = CoarseHeads(config.channels, DENOISER_GROUPS)


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule with v-prediction, as in its 2.x models."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.inference_mode()
def encode_scenes(vae: AutoencoderKL, images: np.ndarray, path: Path) -> tuple[np.ndarray, float]:
    """Latents (n, 4, L, L) float16 of all images, and the factor that scales them to unit variance. Kept in `path`."""
    if not path.is_file():
        device = next(vae.parameters()).device
        chunks = []
        for start in range(0, len(images), 64):
            with mixed_precision(device):
                posterior = vae.encode(to_pixels(images[start : start + 64]).to(device)).latent_dist  # type: ignore[union-attr]
            chunks.append(posterior.mean.half().cpu().numpy())
        with replaced_file(path) as part, open_new(part) as file:
            np.save(file, np.concatenate(chunks))
    latents = np.array(map_array(path, np.float16, (len(images), 4, None, None)))
    scaling = 1 / float(latents[:2000].astype(np.float32).std())
    return latents, scaling


def class_tokens(captions: list[str], tokenizer) -> torch.Tensor:
    """(n, 3, T) weights: for each class named in a caption, in order, the mean over its tokens; zero rows beyond."""
    words = {spoken(c): c for c in CLASSES}
    pattern = re.compile(r"\b(" + "|".join(sorted(words, key=len, reverse=True)) + r")\b")
    encoded = tokenizer(captions, padding="max_length", return_offsets_mapping=True)
    weights = torch.zeros(len(captions), MAX_CLASSES, tokenizer.model_max_length)
    for row, (text, offsets) in enumerate(zip(captions, encoded["offset_mapping"], strict=True)):
        for index, match in enumerate(pattern.finditer(text)):
            columns = [t for t, (a, b) in enumerate(offsets) if a < match.end() and b > match.start()]
            weights[row, index, columns] = 1 / len(columns)
    return weights


def optimizers(model: Denoiser, learning_rate: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for the UNet's inner matrices and kernels, AdamW for everything else."""
    inner, other = [], []
    for name, weight in model.named_parameters():
        muon = weight.ndim >= 2 and name.startswith("unet.") and not re.search(r"conv_in|conv_out|time_emb", name)
        (inner if muon else other).append(weight)
    return {
        "muon": Muon(inner, lr=learning_rate),
        "adamw": torch.optim.AdamW(other, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.99)),
    }


def load_denoiser(recipe: Recipe, folder: Path) -> tuple[Denoiser, int]:
    """The model with averaged weights from the last checkpoint in `folder`, and how many samples it has seen."""
    model = Denoiser(recipe)
    average = {k: v.detach().clone() for k, v in model.named_parameters()}
    step = load_checkpoint(folder / CHECKPOINT, model, {}, average)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(average[name])
    return model.eval(), step * recipe.denoiser.batch


def train_denoiser(
    recipe: Recipe,
    latents: np.ndarray,
    scaling: float,
    captions: list[str],
    folder: Path,
    report: Callable[[dict], None],
    minutes: float = math.inf,
) -> bool:
    """Train from the last checkpoint in `folder` until the recipe's samples are seen or `minutes` have passed.

    Within an initialised process group every process takes its share of each batch, and the first one writes.
    Returns whether training is complete; `load_denoiser` gives the model.
    """
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    share = slice(rank, None, world)
    config = recipe.denoiser
    device = torch.device(default_device())
    torch.manual_seed(recipe.seed)
    model = Denoiser(recipe).to(device)
    both = optimizers(model, config.learning_rate)
    average = {k: v.detach().clone() for k, v in model.named_parameters()}
    step = load_checkpoint(folder / CHECKPOINT, model, both, average)
    signal_of = build_scheduler().alphas_cumprod
    ids = torch.tensor(model.tokenizer(captions, padding="max_length")["input_ids"])
    empty = torch.tensor(model.tokenizer([""], padding="max_length")["input_ids"])
    token_weights = class_tokens(captions, model.tokenizer)
    tap = AttentionTap(config.grouping_rows, word_side=latents.shape[-1] // MIDDLE)
    if config.grouping_weight:
        attach(model.unet, tap)
    steps, coarse_steps = config.samples // config.batch, config.coarse_samples // config.batch
    started = saved = time.monotonic()
    curves: dict[str, float] = {}
    mark = (started, step)
    while step < steps:
        coarse = step < coarse_steps
        since = step if coarse else step - coarse_steps  # the outer level begins anew, with the rates and the average
        _set_rates(both.values(), config.learning_rate, step, steps, since, config.warmup)
        rng = np.random.default_rng((recipe.seed, 78, step))
        torch.manual_seed(int(rng.integers(2**31)))
        # The whole batch is drawn by every process, so that a sample does not depend on how many share it.
        picks = rng.integers(len(latents), size=config.batch)[share]
        timesteps = torch.from_numpy(draw_timesteps(rng, config.batch, config.middle_share)[share])
        noise = torch.randn(config.batch, *latents.shape[1:])[share].to(device)
        dropped = torch.from_numpy(rng.random(config.batch) < config.caption_dropout)[share]
        clean = torch.from_numpy(latents[picks].astype(np.float32)).to(device) * scaling
        signal = signal_of[timesteps].to(device)
        a, b = signal.sqrt().view(-1, 1, 1, 1), (1 - signal).sqrt().view(-1, 1, 1, 1)
        prompt = torch.where(dropped[:, None], empty, ids[picks]).to(device)
        tap.token_weights = (token_weights[picks] * ~dropped[:, None, None]).to(device)
        if coarse:
            clean, noise = pooled(clean), pooled(noise)
        noisy, timesteps = a * clean + b * noise, timesteps.to(device)
        with mixed_precision(device):
            words = model.text_encoder(prompt).last_hidden_state
            if coarse:
                predicted = predict_coarse(model.unet, model.coarse, noisy, timesteps, words).float()
            else:
                predicted = model.unet(noisy, timesteps, words).sample.float()
        error = (predicted - (a * noise - b * clean)).square().mean((1, 2, 3))
        denoising = (error * timestep_weights(signal, config.min_snr_gamma)).mean()
        loss = denoising
        if config.grouping_weight:
            ramp = (step * config.batch - config.grouping_words_from) / (config.grouping_words_full - config.grouping_words_from)
            grouping = grouping_loss(tap, clean, signal, min(1.0, max(0.0, ramp)))
            loss = loss + config.grouping_weight * grouping
            curves["grouping"] = _smooth(curves.get("grouping"), grouping.item())
        curves["loss"] = _smooth(curves.get("loss"), denoising.item())
        curves["error"] = _smooth(curves.get("error"), error.mean().item())
        model.zero_grad(set_to_none=True)
        loss.backward()
        if world > 1:
            _average_gradients(model, world)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in both.values():
            optimizer.step()
        step += 1
        # A young average would remember the start for thousands of steps: let it forget faster at first.
        decay = min(config.ema_decay, (1 + since) / (10 + since))
        torch._foreach_lerp_(list(average.values()), [w.detach() for w in model.parameters()], 1 - decay)
        now = time.monotonic()
        if rank == 0 and (step % 25 == 0 or step == steps):
            rate = config.batch * (step - mark[1]) / (now - mark[0])
            mark = (now, step)
            report({"stage": "denoiser", "step": step, "steps": steps, "samples/s": rate, **curves})
        out_of_time = now - started > 60 * minutes
        if world > 1:  # every process must stop at the same step
            verdict = torch.tensor(out_of_time)
            dist.broadcast(verdict, 0)
            out_of_time = bool(verdict)
        if rank == 0 and (step == steps or out_of_time or now - saved > 60 * recipe.checkpoint_minutes):
            save_checkpoint(folder / CHECKPOINT, model, both, step, **average)
            saved = now
        if out_of_time:
            break
    return step >= steps


def _average_gradients(model: torch.nn.Module, world: int) -> None:
    gradients = [w.grad for w in model.parameters() if w.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= world
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def draw_timesteps(rng: np.random.Generator, count: int, middle_share: float) -> np.ndarray:
    """(count,) timesteps in 0 … 999: `middle_share` of them 1000 / (1 + exp(-z)) with normal z, the others uniform."""
    uniform, normal = rng.random(count), rng.standard_normal(count)
    at = np.where(rng.random(count) < middle_share, 1 / (1 + np.exp(-normal)), uniform)
    return np.minimum((1000 * at).astype(np.int64), 999)


def timestep_weights(signal: torch.Tensor, min_snr_gamma: float) -> torch.Tensor:
    """Weights (B,) of the errors of v at ᾱ = `signal` (B,): min(SNR, γ) / (SNR + 1), or 1 for γ = 0.

    Min-SNR gives t ≥ 500 of Stable Diffusion's schedule 14 % of the whole weight; layout and shapes are decided there.
    """
    if not min_snr_gamma:
        return torch.ones_like(signal)
    snr = signal / (1 - signal)
    return snr.clamp_max(min_snr_gamma) / (snr + 1)


def _set_rates(optimizers_: Iterable[torch.optim.Optimizer], base: float, step: int, steps: int, since: int, warmup: int) -> None:
    """Linear warm-up, then flat, then linear to zero over the last quarter: a run can be prolonged before its descent.

    since: steps since the warm-up began.
    """
    rate = base * min(1.0, (since + 1) / warmup, max(0.02, 4 * (1 - step / steps)))
    for optimizer in optimizers_:
        for group in optimizer.param_groups:
            group["lr"] = rate


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else 0.98 * old + 0.02 * new
