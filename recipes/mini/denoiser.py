"""The embedded model's UNet and text encoder, trained together: v-prediction, half-size latents first, and a loss that
groups attention.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel

from seediff.config.class_names import spoken
from seediff.devices import mixed_precision
from seediff.mini import CLASSES

from .grouping import AttentionTap, agreement_loss, attach, grouping_loss, trusted_maps
from .half_size import CoarseHeads, pooled, predict_coarse
from .recipe import DENOISER_GROUPS, Recipe
from .teacher import AlignmentHead
from .text import build_text_encoder, build_tokenizer

MAX_CLASSES = 3
MIDDLE = 2  # ratio of the latents' side to the middle level's


PRESET = {"steps": 8, "guidance_scale": 2.5, "scheduler": "euler-a"}
"""For drawing with a new pipeline, until tuning finds better constants."""


@dataclass(frozen=True)
class Batch:
    """The samples of one training step.

    clean, noise: (B, 4, L, L), both of unit variance. timesteps: (B,) in 0 … 999. rows: (B,) indices of the scenes.
    dropped: (B,) True where the caption is replaced by the empty prompt. seen: number of samples before this step.
    features: (B, F, L/4, L/4) of the teacher; None without a teacher.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    timesteps: torch.Tensor
    rows: np.ndarray
    dropped: torch.Tensor
    seen: int
    features: torch.Tensor | None = None


class Denoiser(torch.nn.Module):
    """What this stage trains, as one module: `unet` and `text_encoder`, and two parts that the pipeline drops: `coarse`
    and `alignment`.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        config = self.schedule = recipe.denoiser
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
            layers_per_block=config.layers,
            cross_attention_dim=config.text_width,
            attention_head_dim=config.heads,  # type: ignore[arg-type]  # the number of heads, under diffusers' historical name
            norm_num_groups=DENOISER_GROUPS,
            use_linear_projection=True,
        )
        self.coarse = CoarseHeads(config.channels, DENOISER_GROUPS)
        self.inside: torch.Tensor | None = None  # innermost features of the last forward pass
        if config.alignment_weight:
            self.alignment = AlignmentHead(config.channels[-1])

    def prepare(self, captions: Sequence[str], side: int) -> None:
        """Prepare for the first step, from the captions of all scenes. side: L of their latents."""
        texts = list(captions)
        self.ids = torch.tensor(self.tokenizer(texts, padding="max_length")["input_ids"])
        self.empty = torch.tensor(self.tokenizer([""], padding="max_length")["input_ids"])
        self.token_weights = class_tokens(texts, self.tokenizer)
        self.signal = build_scheduler().alphas_cumprod
        self.tap = AttentionTap(self.schedule.grouping_rows, word_side=side // MIDDLE)
        if self.schedule.grouping_weight:
            attach(self.unet, self.tap)
        if self.schedule.alignment_weight:
            self.unet.mid_block.register_forward_hook(self._keep_inside)  # type: ignore[union-attr]

    def _keep_inside(self, module: torch.nn.Module, given: object, made: torch.Tensor) -> None:
        self.inside = made

    @property
    def coarse_steps(self) -> int:
        """The number of first steps that use latents of half the side."""
        return self.schedule.coarse_samples // self.schedule.batch

    def began(self, step: int) -> int:
        """The first step of the part of training (coarse or full) that `step` belongs to; rates and averages restart
        there.
        """
        return 0 if step < self.coarse_steps else self.coarse_steps

    def losses(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """The loss to minimise, and the curves to report: "error", the mean squared error, and others."""
        config, device = self.schedule, batch.clean.device
        coarse = batch.seen < self.coarse_steps * config.batch
        signal = self.signal.to(device)[batch.timesteps]
        a, b = signal.sqrt().view(-1, 1, 1, 1), (1 - signal).sqrt().view(-1, 1, 1, 1)
        dropped = batch.dropped.cpu()
        prompt = torch.where(dropped[:, None], self.empty, self.ids[batch.rows]).to(device)
        self.tap.token_weights = (self.token_weights[batch.rows] * ~dropped[:, None, None]).to(device)
        clean, noise = (pooled(batch.clean), pooled(batch.noise)) if coarse else (batch.clean, batch.noise)
        noisy = a * clean + b * noise
        with mixed_precision(device):
            text = self.text_encoder(prompt).last_hidden_state
            if coarse:
                predicted = predict_coarse(self.unet, self.coarse, noisy, batch.timesteps, text).float()
            else:
                predicted = self.unet(noisy, batch.timesteps, text).sample.float()
        loss = error = (predicted - (a * noise - b * clean)).square().mean((1, 2, 3)).mean()
        curves: dict[str, torch.Tensor] = {}
        if config.grouping_weight:
            ramp = (batch.seen - config.grouping_words_from) / (config.grouping_words_full - config.grouping_words_from)
            words = min(1.0, max(0.0, ramp))
            maps = trusted_maps(self.tap)
            curves["grouping"] = grouping_loss(self.tap, maps, clean, signal, words)
            loss = loss + config.grouping_weight * curves["grouping"]
            if config.agreement_weight:
                curves["agreement"] = agreement_loss(self.tap, maps, signal, words)
                loss = loss + config.agreement_weight * curves["agreement"]
            self.tap.clear()
        if batch.features is not None and self.inside is not None:
            curves["alignment"] = self.alignment.error(self.inside, batch.features)
            loss = loss + config.alignment_weight * curves["alignment"]
        return loss, {**curves, "error": error}

    def for_muon(self, name: str) -> bool:
        """Whether a weight belongs to the UNet's inner part, whose matrices and kernels Muon trains."""
        return name.startswith("unet.") and not re.search(r"conv_in|conv_out|time_emb", name)

    def parts(self) -> Mapping[str, torch.nn.Module]:
        """Name of a pipeline's folder → the module that it holds."""
        return {"unet": self.unet, "text_encoder": self.text_encoder}

    def pipeline(self, vae: AutoencoderKL) -> StableDiffusionPipeline:
        return StableDiffusionPipeline(
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            unet=self.unet,
            scheduler=build_scheduler(),  # type: ignore[arg-type]
            safety_checker=None,  # type: ignore[arg-type]
            feature_extractor=None,  # type: ignore[arg-type]
            requires_safety_checker=False,
        )


def build_scheduler() -> DPMSolverMultistepScheduler:
    """Stable Diffusion's noise schedule with v-prediction, as in its 2.x models, and a second-order solver, which needs
    few steps.

    Steps begin at the noisiest level ("trailing"), because with a dozen steps the first decides the layout.
    """
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,  # has no effect here; without it the pipeline warns
    )


def class_tokens(captions: list[str], tokenizer) -> torch.Tensor:
    """(n, 3, T) weights: for each class named in a caption, in order, a row that averages over its tokens; the other
    rows are zero.
    """
    words = {spoken(c): c for c in CLASSES}
    pattern = re.compile(r"\b(" + "|".join(sorted(words, key=len, reverse=True)) + r")\b")
    encoded = tokenizer(captions, padding="max_length", return_offsets_mapping=True)
    weights = torch.zeros(len(captions), MAX_CLASSES, tokenizer.model_max_length)
    for row, (text, offsets) in enumerate(zip(captions, encoded["offset_mapping"], strict=True)):
        for index, match in enumerate(pattern.finditer(text)):
            columns = [t for t, (a, b) in enumerate(offsets) if a < match.end() and b > match.start()]
            weights[row, index, columns] = 1 / len(columns)
    return weights
