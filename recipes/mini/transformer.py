"""An MM-DiT that knows the embedded world: Stable Diffusion 3's classes with a few million parameters, trained by flow
matching.

The text columns are as in Stable Diffusion 3 without T5: the states of two CLIP text encoders, concatenated along
channels, then 256 columns of zeros. The pipeline reads a text encoder's states before its last layer. With one layer,
these are its embeddings, so no word sees another. The pooled state is always zero: a network that receives the class
outside attention need not attend to the word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from diffusers.models.attention_processor import JointAttnProcessor2_0
from transformers import CLIPTextModelWithProjection

from seediff.devices import mixed_precision

from .half_size import half_side, pooled
from .loop import Batch, Student
from .recipe import Recipe
from .recipe import Transformer as Table
from .teacher import AlignmentHead
from .text import build_projected_encoder, build_tokenizer

PATCH = 2
ZERO_COLUMNS = 256
"""Number of columns of zeros that the pipeline appends in place of T5."""
LEVELS = 1000


class OneForAll:
    """Joint attention whose last column stands for `copies` equal ones: its score is raised by log(copies), which gives
    the same softmax.

    The columns of zeros start equal, have no position and have equal queries, so they stay equal in every layer. One
    column is enough and saves a third of the network's work.
    """

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any) -> Any:
        def heads(states: torch.Tensor) -> torch.Tensor:
            return states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, H, S, D)

        query, key, value = (heads(layer(hidden_states)) for layer in (attn.to_q, attn.to_k, attn.to_v))
        query, key = attn.norm_q(query), attn.norm_k(key)
        added = (heads(layer(encoder_hidden_states)) for layer in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj))
        text_query, text_key, text_value = added
        text_query, text_key = attn.norm_added_q(text_query), attn.norm_added_k(text_key)
        query, key = torch.cat([query, text_query], 2), torch.cat([key, text_key], 2)
        value = torch.cat([value, text_value], 2).to(query.dtype)
        with torch.autocast(
            query.device.type, enabled=False
        ):  # plain products: a CPU's fused kernel is slower in bfloat16
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
            bias = torch.zeros(key.shape[2], dtype=scores.dtype, device=scores.device)
            bias[-1] = math.log(self.copies)
            out = ((scores + bias).softmax(-1) @ value).transpose(1, 2).flatten(2)
        picture, text = out[:, : hidden_states.shape[1]], out[:, hidden_states.shape[1] :]
        picture = attn.to_out[1](attn.to_out[0](picture))
        return picture, text if attn.context_pre_only else attn.to_add_out(text)


class Transformer(Student):
    """What is trained: `transformer`, the embeddings of `text_encoder` and `text_encoder_2`, and `alignment`, which the
    pipeline drops.
    """

    preset = {"steps": 14, "guidance_scale": 3.0}  # noqa: RUF012  # docs/mini.md
    schedule: Table

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        config = self.schedule = recipe.transformer
        self.tokenizer = build_tokenizer()
        first, second = config.text_widths
        self.text_encoder: CLIPTextModelWithProjection = build_projected_encoder(first, self.tokenizer)
        self.text_encoder_2: CLIPTextModelWithProjection = build_projected_encoder(second, self.tokenizer)
        self.transformer: Any = SD3Transformer2DModel(
            sample_size=recipe.side // 4,
            patch_size=PATCH,
            in_channels=4,
            out_channels=4,
            num_layers=config.layers,
            num_attention_heads=config.heads,
            attention_head_dim=config.head_width,
            joint_attention_dim=first + second,
            caption_projection_dim=config.heads * config.head_width,
            pooled_projection_dim=first + second,
            pos_embed_max_size=recipe.side // 4,  # enough for pictures of twice the side
            qk_norm="rms_norm",
        )
        self.inside: torch.Tensor | None = None  # the picture's tokens halfway through the last forward pass
        if config.alignment_weight:
            self.alignment = AlignmentHead(config.heads * config.head_width, recipe.teacher.features)

    def prepare(self, captions: Sequence[str], side: int) -> None:
        self.ids = torch.tensor(self.tokenizer(list(captions), padding="max_length")["input_ids"])
        self.empty = torch.tensor(self.tokenizer([""], padding="max_length")["input_ids"])
        self.transformer.set_attn_processor(OneForAll(ZERO_COLUMNS))
        if self.schedule.alignment_weight:
            self.transformer.transformer_blocks[(self.schedule.layers - 1) // 2].register_forward_hook(
                self._keep_inside
            )

    def _keep_inside(self, module: torch.nn.Module, given: object, made: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.inside = made[1]

    def words(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) token ids → (B, T + 1, width) text columns, the last one zero."""
        states = [encoder.text_model.embeddings(ids) for encoder in (self.text_encoder, self.text_encoder_2)]
        return F.pad(torch.cat(states, -1), (0, 0, 0, 1))

    def losses(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        device = batch.clean.device
        ids = torch.where(batch.dropped.cpu()[:, None], self.empty, self.ids[batch.rows]).to(device)
        level = (batch.timesteps + 1).float()  # the sampler begins at 1000, with pure noise
        share = (level / LEVELS).view(-1, 1, 1, 1)
        coarse = self.is_coarse(batch)
        clean, noise = (pooled(batch.clean), pooled(batch.noise)) if coarse else (batch.clean, batch.noise)
        noisy = (1 - share) * clean + share * noise
        with mixed_precision(device), half_side(self.transformer.pos_embed) if coarse else nullcontext():
            words = self.words(ids)
            no_pooled = words.new_zeros(len(ids), words.shape[-1])
            predicted = self.transformer(noisy, words, no_pooled, level, return_dict=False)[0].float()
        loss = error = (predicted - (noise - clean)).square().mean()
        curves = {"error": error}
        if batch.features is not None and self.inside is not None:
            side = clean.shape[-1] // PATCH
            curves["alignment"] = self.alignment.error(
                self.inside.transpose(1, 2).unflatten(2, (side, side)), batch.features
            )
            loss = loss + self.schedule.alignment_weight * curves["alignment"]
        return loss, curves

    def for_muon(self, name: str) -> bool:
        return name.startswith("transformer.transformer_blocks.")

    def parts(self) -> Mapping[str, torch.nn.Module]:
        return {name: getattr(self, name) for name in ("transformer", "text_encoder", "text_encoder_2")}

    def pipeline(self, vae: AutoencoderKL) -> StableDiffusion3Pipeline:
        self.transformer.set_attn_processor(JointAttnProcessor2_0())
        vae.register_to_config(shift_factor=0.0)
        return StableDiffusion3Pipeline(
            transformer=self.transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            text_encoder_2=self.text_encoder_2,
            tokenizer_2=self.tokenizer,
            text_encoder_3=None,  # type: ignore[arg-type]
            tokenizer_3=None,  # type: ignore[arg-type]
        )
