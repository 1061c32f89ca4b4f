"""`AttentionRecorder` records the attention of a network's calls: it decides which calls, and what happens after an
error. Layers add to running maps (running_maps.py), which become `AttentionMaps` at the end.

    begin_call         a call of the network begins: is it recorded? (calls.py)
        running.add        a layer attends (layers.py)
    end_call           the call ends, also with an error
    maps               the maps of each image
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..errors import Notice, UserError, first_line, not_finite
from ..models.hooks import NetworkInputs
from ..models.layers import KINDS, Grid, Kind
from .calls import CallReader, NetworkCall
from .maps import AttentionMaps
from .plan import CapturePlan
from .product import watch
from .running_maps import Apart, Means, RunningMaps
from .which_rows import Encoded


def native_attention(network: Any) -> str:
    """The call after which a network's layers compute attention by PyTorch's function."""
    if hasattr(network, "set_attention_slice"):
        return "disable_attention_slicing()"  # sets the usual processors, whatever was set before
    return "set_attention_backend('native')"


class AttentionRecorder:
    """Records calls of one network, or of two that take turns.

    plan: what is captured. prompt, total_steps, text_states: as in `record_attention`. apart: "step" or "layer":
    also keep the maps of each step, or of each layer; None: only their means. keeps_errors: True: an error of capture
    ends only the capture, and not the drawing. One warning reports it, and it is raised where maps are requested.
    False: it is raised at once.
    """

    def __init__(
        self,
        plan: CapturePlan,
        *,
        prompt: Encoded | None = None,
        total_steps: int | None = None,
        text_states: torch.Tensor | None = None,
        apart: Apart | None = None,
        keeps_errors: bool = False,
    ) -> None:
        self.plan = plan
        self.text_states = text_states
        self.apart: Apart | None = apart
        self.keeps_errors = keeps_errors
        self._total_steps = total_steps
        self.network: Any = None
        """The network of the latest call."""
        self.call: NetworkCall | None = None
        """The call of the network that is recorded now; None between such calls."""
        self.restart(prompt)

    def restart(self, prompt: Encoded | None = None) -> None:
        """Discard everything recorded. Maps that were already returned do not change. prompt: as in `record_attention`,
        of what is drawn next."""
        self.end_call()
        self.prompt = prompt
        self.calls = CallReader(self.plan, self._total_steps)
        self.error: UserError | None = None
        """The kept error, after which nothing more is recorded; None: no error yet."""
        self.running = RunningMaps(self.plan, self.apart)
        self._recorded_steps: list[int] = []
        self._means: Means | None = None

    # While the network runs

    def begin_call(self, network: Any, inputs: NetworkInputs) -> None:
        """Decide whether to record the network's call that runs next. inputs: the call's."""
        if self._means is not None:
            raise RuntimeError("the maps of this capture were already taken: start a new one")
        self.end_call()
        self.network = network
        if self.error is None:
            self.call = self.calls.read(network, inputs, self.prompt)
        if self.call is not None:
            self._recorded_steps.append(self.call.step)

    def end_call(self) -> None:
        """Record nothing more until the next call begins. Layers may still run: a backward pass with checkpointing runs
        some of them again."""
        self.call = None
        watch(None)

    def fail(self, error: Exception, where: str = "") -> None:
        """Raise an error of capture, or keep it and record nothing more. where: the name of the layer in which it
        happened."""
        if not self.keeps_errors:
            raise error
        if self.error is not None:
            return
        if not isinstance(error, UserError):
            error = UserError(where, f"capture failed ({first_line(error)})")
        self.error = error
        self.call = None
        self.running = RunningMaps(self.plan, self.apart)
        warnings.warn(Notice(f"attention is not captured any more, and its maps cannot be had: {error}"), stacklevel=2)

    # The result

    @torch.inference_mode(False)  # tensors made in that mode could not be changed outside of it
    def maps(self, words: Sequence[Mapping[str, tuple[int, ...]]], prompts: Sequence[str]) -> list[AttentionMaps]:
        """The means over layers and steps (eq. 5): one AttentionMaps per image of the batch, on the network's device.

        words, prompts: for each image, as in AttentionMaps. Raises UserError if nothing was recorded, if a layer
        computed attention in an unknown way, or if attention was not finite.
        """
        return self._split_images(self._take_means().of_all(), words, prompts)

    def _split_images(
        self,
        tensors: Mapping[Kind, Mapping[Grid, torch.Tensor]],
        words: Sequence[Mapping[str, tuple[int, ...]]],
        prompts: Sequence[str],
    ) -> list[AttentionMaps]:
        """The maps of each image, from the maps of all. tensors: kind → (h, w) → (B, N, T). words, prompts: as in
        `maps`."""
        latest = self.calls.latest
        normalized = self.plan.capture.normalize
        images: list[AttentionMaps] = []
        for image, columns, prompt in zip(range(latest.images), words, prompts, strict=True):
            self_maps, cross_maps = ({grid: tensor[image] for grid, tensor in tensors[kind].items()} for kind in KINDS)
            images.append(AttentionMaps(self_maps, cross_maps, latest.lattice, dict(columns), prompt, normalized))
        return images

    @torch.inference_mode(False)
    def maps_apart(self, prompts: Sequence[str]) -> list[dict[str, AttentionMaps]]:
        """For each image: number of the step, or name of the layer → its maps. Empty dicts if `apart` is None. prompts:
        as in `maps`."""
        images: list[dict[str, AttentionMaps]] = [{} for _ in prompts]
        if self.apart is None:
            return images
        for owner, tensors in self._take_means().by_owner().items():
            for image, maps in zip(images, self._split_images(tensors, [{}] * len(prompts), prompts), strict=True):
                image[owner] = maps
        return images

    def _take_means(self) -> Means:
        """The means, made of the sums once. Raises UserError as `maps` does."""
        if self._means is not None:
            return self._means
        if self.error is not None:
            raise self.error
        self._check_layers()
        bad = self.running.broken_layers()
        if bad:
            raise not_finite(f"probabilities of {_listed(bad)}", self.calls.latest.dtype)
        self._means = self.running.average()
        return self._means

    def _check_layers(self) -> None:
        """Raise UserError if capture has seen no attention of a layer. Warn of layers whose attention it has seen in
        some of the recorded steps only."""
        recorded = self._recorded_steps
        steps = self.running.steps_by_layer()
        if not steps or not recorded:
            raise UserError(
                "no attention was captured: the network did not run, or no layer matches the chosen levels and steps"
            )
        unseen = [name for name, by_kind in steps.items() if not all(by_kind.values())]
        if unseen:
            problem = "computes attention in another way than by PyTorch's scaled_dot_product_attention"
            fix = f"use diffusers' default: {native_attention(self.network)}"
            raise UserError(_listed(unseen), problem, fix)
        fewer = [name for name, by_kind in steps.items() if any(those != recorded for those in by_kind.values())]
        if fewer:
            text = (
                f"computed attention in some of {len(recorded)} steps (a cache?), and its maps are the means of these"
            )
            warnings.warn(Notice(f"{_listed(fewer)} {text}"), stacklevel=3)


def _listed(names: Sequence[str]) -> str:
    """The first name and the number of further names, for example `mid_block.attn1 and 3 more layers`."""
    more = f" and {len(names) - 1} more layers" if len(names) > 1 else ""
    return f"{names[0]}{more}"
