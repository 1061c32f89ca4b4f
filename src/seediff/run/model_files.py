"""What the small files of a local model tell before any weights are loaded."""

from __future__ import annotations

from ..attention.expected import Expected, expect_capture
from ..config.constants import MaskConfig
from ..config.generate import DatasetConfig
from ..config.levels import check_kinds, check_levels, fit_levels
from ..config.methods import check_capture
from ..config.recommended import is_tuned_for
from ..models.about import look_up
from ..models.registry import check_known_classes, read_classes, resolve_name


def check_files(config: DatasetConfig) -> None:
    """Raise UserError for classes that the model does not know, levels of attention that it lacks and a capture that the method cannot
    work with, without loading it.

    Nothing is known of a hub id before it is fetched. What is wrong with the files themselves, loading says better.
    """
    check_capture(config.mask.method, config.capture.normalize)
    source = resolve_name(config.model)
    about = look_up(config.model)
    if about:
        check_kinds(about.family, config.mask)
    if isinstance(source, str):
        return
    check_known_classes(config.model, read_classes(source), config.classes)
    if about and {"down_block_types", "up_block_types"} <= set(about.network):
        check_levels(about.network, config.mask, config.capture, about.family)


def fitted_mask(config: DatasetConfig) -> tuple[MaskConfig, list[str]]:
    """The configuration of the method with levels that the model has, and what was changed, as `levels.fit_levels` says it; as it is where
    nothing is known of the model yet."""
    about = look_up(config.model)
    return fit_levels(about.network, config.mask, config.capture, about.family) if about and about.network else (config.mask, [])


def expected_capture(config: DatasetConfig, size: tuple[int, int]) -> Expected | None:
    """What capture will hold of images of size (height, width) in positions of L; None where nothing is known of the model yet."""
    about = look_up(config.model)
    return expect_capture(about.family, about.network, about.pipeline, size, config.capture.layers) if about else None


def untuned_line(config: DatasetConfig) -> list[str]:
    """A line for a model whose constants of masks nobody sought; none where they were, or nothing is known of the model yet."""
    about = look_up(config.model)
    if about is None or is_tuned_for(about, config.mask.method):
        return []
    return [f"Constants: those of masks were never tuned for {about.family.title}; they are the papers', of Stable Diffusion 1 and 2"]
