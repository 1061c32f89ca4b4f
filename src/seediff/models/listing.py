"""Which models can be named, and which of them are on this machine."""

from __future__ import annotations

from .registry import ALIASES, EMBEDDED

FAMILIES = {"sd1": "Stable Diffusion 1, 512²", "sd2": "Stable Diffusion 2, 512²"}
"""What a short name's first three letters say."""


def list_models() -> list[tuple[str, str, str]]:
    """(name, what it is, whether and where it was found) of the embedded model and every short name. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    found = "in the package" if (EMBEDDED / "model_index.json").is_file() else "no: the package lacks its weights"
    rows = [("mini", "the embedded model: small, 128², 19 of Pascal VOC's classes", found)]
    for name, hub_id in ALIASES.items():
        cached = isinstance(try_to_load_from_cache(hub_id, "model_index.json"), str)
        rows.append((name, FAMILIES.get(name[:3], hub_id), "in the hub's cache" if cached else f"no: hf download {hub_id}"))
    return rows
