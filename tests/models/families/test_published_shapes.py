import pytest
from builders.configured import configured
from builders.published import parameters, written

from recipes.families import PAGE
from seediff.config.runs import GenerateConfig
from seediff.models.layers import KINDS
from seediff.models.short_names import SHORT_NAMES
from seediff.run.generate_job import GenerateJob
from seediff.run.loop import dry_run

pytestmark = pytest.mark.slow

ONE = "self-attention at L and cross-attention at L of 64×64; maps of"
EXPECTED = {
    "sd1.5": (16, 16, "self-attention at L, L/2, L/4 and cross-attention at L/4 of 64×64; maps of 71.6 MB"),
    "sdxl": (70, 70, "self-attention at L/2, L/4 and cross-attention at L/4 of 128×128; maps of 71.6 MB"),
    "sd3.5-medium": (37, 24, f"{ONE} 72.6 MB"),
    "flux-dev": (57, 57, f"{ONE} 75.5 MB"),
    "klein-4b": (25, 25, f"{ONE} 75.5 MB"),
    "pixart-sigma": (28, 28, f"{ONE} 72.0 MB"),
    "z-image": (32, 30, f"{ONE} 75.5 MB"),
    "qwen-image-2.1": (32, 32, f"{ONE} 75.5 MB"),
}
"""Name → layers of self-attention and of cross-attention, joint attention being both, and what a dry run says."""


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_expected_is_what_the_network_has(name, tmp_path):
    config = configured(GenerateConfig, {"classes": ("dog",), "model": str(written(name, tmp_path / name))})
    job, (own, cross, said) = GenerateJob(config), EXPECTED[name]
    lines = list(dry_run(job, tmp_path / "out"))
    assert f"Capture: {said} an image" in lines
    layers = job.plan(job.model_info).capture.layers
    assert [len(layers[kind]) for kind in KINDS] == [own, cross]
    side = 512 if name == "sd1.5" else 1024
    assert lines[0].endswith(f", each of {side}×{side}")


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_the_page_lists_every_model(name):
    """With its size; `seediff models` shows the rest."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    said = next(row for row in rows if f"`{name}`" in row)
    billions = said.strip("| ").split(" | ")[-1]
    assert sum(parameters(name)) / 1e9 == pytest.approx(float(billions), abs=0.006)
