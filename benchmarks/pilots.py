"""What was tried for whole drawings of `mini` without long training: where shapes are lost, guidance of other kinds, averages of weights.

    python -m recipes.mini art --out art
    git archive e0c1daad src/seediff/models/mini/weights | tar x -C earlier --strip-components=5       # weights of 489,600 samples
    python benchmarks/pilots.py levels --art art
    python benchmarks/pilots.py guidance --other earlier
    python benchmarks/pilots.py averages --other earlier
    python benchmarks/pilots.py weights runs/distilled.safetensors --guidance 1        # what distil.py has trained

Prints the share that the best sprite explains, and its difference from the preset's, of 76 drawings (152 of averages), as
benchmarks/eye.py measures it. Networks are asked in bfloat16 where the CPU has it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the world is the recipe's

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler
from safetensors.torch import load_file

from recipes.mini.world import render_scene
from seediff.devices import mixed_precision
from seediff.metrics.bootstrap import mean_interval
from seediff.mini.quality import prompts
from seediff.mini.shapes import explained, read_templates
from seediff.mini.yardsticks import load_segmenter, to_pixels
from seediff.models.registry import load_model

SEED, BATCH, STEPS, GUIDANCE = 501, 38, 8, 2.5
SCENES, FINE_STEPS = 76, 16
Guided = Callable[[torch.Tensor, torch.Tensor, Sequence[str]], torch.Tensor]
"""Noisy latents (B, 4, h, w), timestep and prompts → v (B, 4, h, w)."""


@dataclass(frozen=True)
class Prompt:
    classes: tuple[str, ...]
    prompt: str
    seed: int


class Network:
    """UNet and text encoder of a pipeline folder, or of `mini` with other weights."""

    def __init__(self, folder: str, weights: dict[str, torch.Tensor] | None = None) -> None:
        pipe = load_model(folder).pipe
        self.unet, self.text, self.tokenizer = pipe.unet.float().eval(), pipe.text_encoder.float().eval(), pipe.tokenizer
        for name, part in (("unet.", self.unet), ("text_encoder.", self.text)) if weights else ():
            part.load_state_dict({k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)}, strict=name == "unet.")

    def weights(self) -> dict[str, torch.Tensor]:
        parts = (("unet", self.unet), ("text_encoder", self.text))
        return {f"{name}.{key}": value for name, part in parts for key, value in part.state_dict().items()}

    def __call__(self, noisy: torch.Tensor, timestep: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        ids = torch.tensor(self.tokenizer(list(texts), padding="max_length")["input_ids"])
        with mixed_precision("cpu"):
            return self.unet(noisy, timestep, self.text(ids)[0]).sample.float()


def guided(network: Network, scale: float, low: float = 0, high: float = 1000, bad: Network | None = None, push: float = 1.0) -> Guided:
    """Guidance by the empty prompt at timesteps from low to high; with `bad`, c + (push − 1)(c − its prediction) besides."""

    def predict(noisy: torch.Tensor, timestep: torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        here = scale if low <= float(timestep) <= high else 1.0
        if here == 1:
            made = named = network(noisy, timestep, texts)
        else:
            named, empty = network(torch.cat([noisy, noisy]), timestep, [*texts, *[""] * len(texts)]).chunk(2)
            made = empty + here * (named - empty)
        return made if bad is None else made + (push - 1) * (named - bad(noisy, timestep, texts))

    return predict


class Studio:
    """Draws and measures."""

    def __init__(self, count: int) -> None:
        self.pipe = load_model("mini", scheduler="euler-a").pipe
        self.specs = [Prompt(s.classes, s.prompt, s.seed) for s in prompts(count, SEED)]
        self.segmenter, self.templates = load_segmenter(), read_templates()
        self.first: np.ndarray | None = None

    def scheduler(self, steps: int) -> EulerAncestralDiscreteScheduler:
        scheduler = EulerAncestralDiscreteScheduler.from_config(self.pipe.scheduler.config)
        scheduler.set_timesteps(steps)
        return scheduler

    def pixels(self, latents: torch.Tensor) -> np.ndarray:
        """(B, 4, h, w) → (B, S, S, 3) uint8."""
        decoded = self.pipe.vae.decode(latents / self.pipe.vae.config.scaling_factor).sample
        return ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()

    def draw(self, predict: Guided, steps: int = STEPS) -> np.ndarray:
        images = []
        for start in range(0, len(self.specs), BATCH):
            part = self.specs[start : start + BATCH]
            scheduler = self.scheduler(steps)
            chances = [torch.Generator().manual_seed(s.seed) for s in part]
            latents = torch.cat([torch.randn(1, 4, 32, 32, generator=c) for c in chances]) * scheduler.init_noise_sigma
            images.append(self.pixels(self.finish(predict, latents, part, scheduler, 0, chances)))
        return np.concatenate(images)

    def finish(self, predict: Guided, latents, part, scheduler, first: int, chances) -> torch.Tensor:
        """From noisy latents, in the scheduler's units, before its step `first` to clean ones."""
        for timestep in scheduler.timesteps[first:]:
            v = predict(scheduler.scale_model_input(latents, timestep), timestep, [s.prompt for s in part])
            latents = scheduler.step(v, timestep, latents, generator=chances).prev_sample
        return latents

    def shares(self, images: np.ndarray, specs: Sequence[Prompt]) -> np.ndarray:
        return np.array([share for share, _ in explained(images, [s.classes[0] for s in specs], self.segmenter, self.templates)])

    def tell(self, name: str, predict: Guided) -> None:
        """Print a row; the first one's drawings are what the others are compared with."""
        shares = self.shares(self.draw(predict), self.specs)
        self.first = shares if self.first is None else self.first
        low, high = mean_interval(shares - self.first)
        print(f"{name}: {shares.mean():.3f}, {(shares - self.first).mean():+.3f} ({low:+.3f} to {high:+.3f})", flush=True)


def levels(art: Path) -> None:
    """Scenes of one object, noised to a timestep and drawn from there: what is lost below that noise."""
    studio = Studio(SCENES)
    scenes = [render_scene(art, i, seed=999, objects=1) for i in range(SCENES)]
    specs = [Prompt(s.classes, s.caption, i) for i, s in enumerate(scenes)]
    images = np.stack([s.image for s in scenes])
    print(f"rendered: {studio.shares(images, specs).mean():.3f}")
    vae = studio.pipe.vae
    clean = torch.cat([vae.encode(to_pixels(images[i : i + BATCH])).latent_dist.mean for i in (0, BATCH)]) * vae.config.scaling_factor
    print(f"through the autoencoder: {studio.shares(np.concatenate([studio.pixels(c) for c in clean.split(BATCH)]), specs).mean():.3f}")
    predict = guided(Network("mini"), GUIDANCE)
    for first in (1, 2, 3, 4, 5, 6, 8, 10, 12):
        drawn = []
        for start in range(0, SCENES, BATCH):
            scheduler, chance = studio.scheduler(FINE_STEPS), torch.Generator().manual_seed(5 + start)
            scheduler.set_begin_index(first)
            noisy = clean[start : start + BATCH] + scheduler.sigmas[first] * torch.randn(BATCH, 4, 32, 32, generator=chance)
            drawn.append(studio.pixels(studio.finish(predict, noisy, specs[start : start + BATCH], scheduler, first, chance)))
        timestep, sigma = float(scheduler.timesteps[first]), float(scheduler.sigmas[first])
        print(f"from t = {timestep:.0f}, noise {sigma:.1f}: {studio.shares(np.concatenate(drawn), specs).mean():.3f}", flush=True)


def guidance(other: str) -> None:
    studio, network, bad = Studio(76), Network("mini"), Network(other)
    studio.tell("the preset", guided(network, GUIDANCE))
    studio.tell("no guidance", guided(network, 1))
    for scale, low, high in ((2.5, 300, 1000), (2.5, 500, 1000), (2.5, 200, 900), (4, 500, 900)):
        studio.tell(f"guidance {scale} from t = {low} to {high}", guided(network, scale, low, high))
    for scale, push in ((1, 1.5), (1, 2), (1, 3), (2, 1.5), (2, 2)):
        studio.tell(f"guidance {scale}, pushed {push} times from {other}", guided(network, scale, bad=bad, push=push))


def averages(other: str) -> None:
    studio, now, then = Studio(152), Network("mini"), Network(other)
    for share in (1.0, 0.7, 0.5, 0.0):
        mixed = {
            key: share * value + (1 - share) * then.weights()[key] if value.is_floating_point() else value
            for key, value in now.weights().items()
        }
        studio.tell(f"{share:.0%} of the weights that ship", guided(Network("mini", mixed), GUIDANCE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("levels", "guidance", "averages", "weights"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--art", type=Path)
    parser.add_argument("--other", help="pipeline folder of other weights")
    parser.add_argument("--guidance", type=float, default=1.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        if given.what == "levels":
            levels(given.art)
        elif given.what == "guidance":
            guidance(given.other)
        elif given.what == "averages":
            averages(given.other)
        else:
            studio = Studio(76)
            studio.tell("the preset", guided(Network("mini"), GUIDANCE))
            studio.tell(f"{given.file}, guidance {given.guidance}", guided(Network("mini", load_file(given.file)), given.guidance))


if __name__ == "__main__":
    main()
