"""Teaches `mini` to draw without guidance what it draws with it, on states of its own drawings; optionally with a discriminator.

    python -m recipes.mini art --out art
    python benchmarks/distil.py scenes --art art --work runs/distil          # 40,000 scenes and their latents
    python benchmarks/distil.py train --work runs/distil --out runs/distilled.safetensors --iterations 1500

Each of two processes learns, per step, from 8 noised scenes as in the recipe (with both attention losses at 0.1) and from 8 states of
drawings under way: there the target is the first weights' prediction with guidance 2.5, moved by up to LEAD times the typical error in the
direction in which a discriminator of clean latents finds the predicted ones more like scenes'. Each state then takes one step of `euler-a`.
Averaged weights are written every 50 steps.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the recipe is beside the package

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from diffusers import EulerAncestralDiscreteScheduler
from safetensors.torch import load_file, save_file
from torch import nn

from recipes.mini.data import rendered_scenes
from recipes.mini.denoiser import Denoiser
from recipes.mini.grouping import AttentionTap, attach
from recipes.mini.loop import Batch, _average_gradients, draw_timesteps, encode_scenes, optimizers
from recipes.mini.recipe import Denoiser as Table
from recipes.mini.recipe import Recipe
from recipes.mini.warmstart import read_autoencoder, read_start
from seediff.allocator import keep_freed_memory
from seediff.models.known import EMBEDDED

TABLE = Table(coarse_samples=0, alignment_weight=0, grouping_weight=0.1, agreement_weight=0.1, grouping_words_from=0, grouping_words_full=1)
RECIPE = Recipe(seed=21, scenes=40_000, close_ups=0.5, objects=(4, 4, 2), named=0.4, denoiser=TABLE)
STEPS, GUIDANCE = 8, 2.5
SCENES, STATES, POOL = 8, 8, 48  # per process and step; POOL states are under way
RATE, DISCRIMINATOR_RATE, AVERAGE = 1e-3, 4e-4, 0.995
LEAD, QUIET, RAMP = 0.7, 80, 120  # of the discriminator: how far it moves targets, steps before it does, steps until it does so in full
FIRST_JUDGED = 2  # earlier predictions are means over many drawings
BLUR, SMOOTH, DISTANCE = 0.15, 0.5, 0.1  # noise on what is judged; weight and distance of the penalty on its slope


class Block(nn.Module):
    def __init__(self, inside: int, outside: int, told: int) -> None:
        super().__init__()
        self.before, self.first = nn.GroupNorm(8, inside), nn.Conv2d(inside, outside, 3, padding=1)
        self.between, self.second = nn.GroupNorm(8, outside), nn.Conv2d(outside, outside, 3, padding=1)
        self.told = nn.Linear(told, 2 * outside)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        inner = self.first(F.silu(self.before(x)))
        return self.skip(x) + self.second(F.silu(self.between(inner) * (1 + scale) + shift))


class Discriminator(nn.Module):
    """Clean latents (B, 4, 32, 32), their noise before and their caption → logits at 16², 8² and 4² places: is this of a scene?"""

    def __init__(self, vocabulary: int, channels: tuple[int, ...] = (48, 96, 160, 192), told: int = 96) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary, told, mode="mean")
        self.noise = nn.Sequential(nn.Linear(32, told), nn.SiLU(), nn.Linear(told, told))
        self.enter = nn.Conv2d(4, channels[0], 3, padding=1)
        inside = (channels[0], *channels[:-1])
        blocks = [[Block(i, o, told)] for i, o in zip(inside, channels, strict=True)]
        for level in (1, 2):
            blocks[level].append(Block(channels[level], channels[level], told))
        self.blocks = nn.ModuleList(nn.ModuleList(level) for level in blocks)
        self.leave = nn.ModuleList(nn.Sequential(nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, told + 1, 1)) for c in channels[1:])

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, ids: torch.Tensor) -> list[torch.Tensor]:
        waves = sigma.clamp_min(0.01).log()[:, None] / 4 * torch.exp(torch.linspace(0, 4, 16))
        words = self.words(ids)
        told = F.silu(self.noise(torch.cat([waves.sin(), waves.cos()], 1)) + words)
        hidden, logits = self.enter(x), []
        for level, blocks in enumerate(self.blocks):
            hidden = F.avg_pool2d(hidden, 2) if level else hidden
            for block in blocks:  # type: ignore[union-attr]
                hidden = block(hidden, told)
            if level:
                out = self.leave[level - 1](hidden).float()
                logits.append((out[:, 0] + (out[:, 1:] * words.float()[:, :, None, None]).sum(1)).flatten(1))
        return logits


def scenes(art: Path, work: Path) -> None:
    """Render the scenes and encode them."""
    work.mkdir(parents=True, exist_ok=True)
    images, captions = rendered_scenes(RECIPE, art, work, workers=os.cpu_count() or 1)
    (work / "captions.json").write_text(json.dumps(captions))
    encode_scenes(read_autoencoder(EMBEDDED["mini"], RECIPE, work / "none").eval(), images, work / "latents.npy")


def train(rank: int, world: int, meeting: str, work: Path, out: Path, start: Path | None, iterations: int, lead: float) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{meeting}/store", rank=rank, world_size=world)
    captions: list[str] = json.loads((work / "captions.json").read_text())
    latents = np.load(work / "latents.npy", mmap_mode="r")
    _, student, origin = read_start(EMBEDDED["mini"], RECIPE, work / "none")
    assert isinstance(student, Denoiser)
    if start:
        student.load_state_dict(load_file(start), strict=False)
    teacher = copy.deepcopy(student).requires_grad_(False)
    teacher_scale = 1.0 if start else GUIDANCE  # weights that were taught before draw without guidance
    student.prepare(captions, 32)
    teacher.tap = AttentionTap(0, 16)
    attach(teacher.unet, teacher.tap)
    judge = Discriminator(len(student.tokenizer))
    for weight in judge.parameters():
        dist.broadcast(weight.data, 0)
    both = optimizers(student, RATE)
    judging = torch.optim.AdamW(judge.parameters(), lr=DISCRIMINATOR_RATE, betas=(0.0, 0.99), weight_decay=0)
    average = {k: v.detach().clone() for k, v in student.named_parameters()}
    schedule = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", timestep_spacing="trailing"
    )
    schedule.set_timesteps(STEPS)
    timesteps, sigmas = schedule.timesteps.long(), schedule.sigmas.float()
    rng, chance = np.random.default_rng((7, rank)), torch.Generator().manual_seed(100 + rank)
    rows, at = rng.integers(len(latents), size=POOL), torch.zeros(POOL, dtype=torch.long)
    states = torch.randn(POOL, 4, 32, 32, generator=chance) * sigmas[0]

    def clean(of: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(latents[of].astype(np.float32)) * origin.scaling

    def ask(network: Denoiser, noisy: torch.Tensor, step: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        network.tap.rows, network.tap.token_weights = 0, None
        with torch.autocast("cpu", torch.bfloat16):
            v = network.unet(noisy, timesteps[step], network.text_encoder(ids).last_hidden_state).sample.float()
        network.tap.clear()
        return v

    @torch.no_grad()
    def taught(noisy: torch.Tensor, step: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        if teacher_scale == 1:
            return ask(teacher, noisy, step, ids)
        empty = student.empty.expand(len(ids), -1)
        named, plain = ask(teacher, torch.cat([noisy, noisy]), torch.cat([step, step]), torch.cat([ids, empty])).chunk(2)
        return plain + teacher_scale * (named - plain)

    def shares(step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sigma = sigmas[step].view(-1, 1, 1, 1)
        return 1 / (1 + sigma**2).sqrt(), sigma / (1 + sigma**2).sqrt()

    def stepped(state: torch.Tensor, predicted: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        here, there = sigmas[step].view(-1, 1, 1, 1), sigmas[step + 1].view(-1, 1, 1, 1)
        fresh = (there**2 * (here**2 - there**2) / here**2).sqrt()
        down = (there**2 - fresh**2).clamp_min(0).sqrt()
        return state + (state - predicted) / here * (down - here) + fresh * torch.randn(state.shape, generator=chance)

    def typical(step: int) -> torch.Tensor:
        """Root mean square error of the first weights."""
        a, b = shares(torch.full((32,), step))
        noise, image = torch.randn(32, 4, 32, 32, generator=chance), clean(np.arange(32))
        with torch.no_grad():
            return (
                (ask(teacher, a * image + b * noise, torch.full((32,), step), student.ids[:32]) - (a * noise - b * image))
                .square()
                .mean()
                .sqrt()
            )

    errors = torch.stack([typical(step) for step in range(STEPS)])
    for turn in range(STEPS - 1):  # so that the pool has states of every step
        for part in torch.nonzero(torch.arange(POOL) % STEPS > turn).flatten().split(16):
            a, b = shares(at[part])
            noisy = states[part] * a
            states[part] = stepped(states[part], a * noisy - b * taught(noisy, at[part], student.ids[rows[part]]), at[part])
            at[part] += 1
    began, place = time.monotonic(), 0
    for iteration in range(iterations):
        rate = RATE * min(1, (iteration + 1) / 50, max(0.02, 4 * (1 - iteration / iterations)))
        for group in [g for o in both.values() for g in o.param_groups]:
            group["lr"] = rate
        student.zero_grad(set_to_none=True)
        student.tap.rows = TABLE.grouping_rows
        picks = rng.integers(len(latents), size=SCENES)
        noise, dropped = torch.randn(SCENES, 4, 32, 32, generator=chance), torch.from_numpy(rng.random(SCENES) < 0.1)
        levels = torch.from_numpy(draw_timesteps(rng, SCENES, 0.6))
        loss, parts = student.losses(Batch(clean(picks), noise, levels, picks, dropped, 10**6))
        loss.backward()

        index = torch.arange(place, place + STATES) % POOL
        place = (place + STATES) % POOL
        step, ids = at[index], student.ids[rows[index]]
        a, b = shares(step)
        noisy = states[index] * a
        v = ask(student, noisy, step, ids)
        target = taught(noisy, step, ids)
        distance = float((v.detach() - target).square().mean())
        predicted = (a * noisy - b * v).detach()
        judged = step >= FIRST_JUDGED
        blur = (BLUR * torch.randn(STATES, generator=chance).abs()).view(-1, 1, 1, 1)[judged]

        def blurred(x: torch.Tensor, blur: torch.Tensor = blur) -> torch.Tensor:
            return x + blur * torch.randn(x.shape, generator=chance)

        if lead and judged.any():
            shown = predicted[judged].clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16):
                logits = judge(blurred(shown), sigmas[step[judged]], ids[judged])
            (slope,) = torch.autograd.grad(sum(F.softplus(-y).mean(1) for y in logits).sum(), shown)
            slope = slope / slope.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
            now = lead * min(1, max(0, (iteration - QUIET) / RAMP))
            target[judged] += now * errors[step[judged]].view(-1, 1, 1, 1) * slope
        (v - target).square().mean().backward()
        _average_gradients(student, world)
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        for optimizer in both.values():
            optimizer.step()
        share = 1 - min(AVERAGE, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(list(average.values()), [w.detach() for w in student.parameters()], share)

        right = 0.5
        if lead:
            judging.zero_grad(set_to_none=True)
            loss = sum(w.sum() for w in judge.parameters()) * 0  # every process has gradients, whatever it judges
            if judged.any():
                real, drawn = blurred(clean(rows[index])[judged]), blurred(predicted[judged])
                with torch.autocast("cpu", torch.bfloat16):
                    near = real + DISTANCE * torch.randn(real.shape, generator=chance)
                    answers = judge(torch.cat([real, drawn, near]), sigmas[step[judged]].repeat(3), ids[judged].repeat(3, 1))
                thirds = [y.chunk(3) for y in answers]
                right = float(torch.stack([((r > 0).float().mean() + (d < 0).float().mean()) / 2 for r, d, _ in thirds]).mean())
                loss = loss + sum(F.softplus(-r).mean() + F.softplus(d).mean() for r, d, _ in thirds)
                steep = sum((r.mean(1) - n.mean(1)).square().mean() for r, _, n in thirds)
                loss = loss + SMOOTH / 2 / DISTANCE**2 * steep
            loss.backward()  # type: ignore[union-attr]
            _average_gradients(judge, world)
            torch.nn.utils.clip_grad_norm_(judge.parameters(), 5.0)
            judging.step()

        moved = stepped(states[index], predicted, step)
        states[index], at[index] = moved, step + 1
        done = index[at[index] >= STEPS]
        at[done], states[done] = 0, torch.randn(len(done), 4, 32, 32, generator=chance) * sigmas[0]
        rows[done.numpy()] = rng.integers(len(latents), size=len(done))
        if rank == 0 and iteration % 20 == 19:
            seconds = (time.monotonic() - began) / (iteration + 1)
            print(
                f"{iteration + 1}: {seconds:.2f} s, error {parts['error']:.4f}, to the teacher {distance:.4f}, judged rightly {right:.2f}",
                flush=True,
            )
        if rank == 0 and (iteration % 50 == 49 or iteration == iterations - 1):
            save_file({k: v.contiguous() for k, v in average.items()}, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scenes", "train"))
    parser.add_argument("--art", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--start", type=Path, help="weights that were taught before, to draw without guidance")
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--lead", type=float, default=LEAD, help="0: no discriminator")
    given = parser.parse_args()
    if given.what == "scenes":
        scenes(given.art, given.work)
    else:
        with tempfile.TemporaryDirectory() as meeting:
            mp.spawn(train, (2, meeting, given.work, given.out, given.start, given.iterations, given.lead), 2)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
