from pathlib import Path

import pytest
import torch
from builders.published import stored

from seediff.models.families import families
from seediff.models.known import BY_NAME

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_every_family_has_a_model():
    import gpu

    assert all(
        any(BY_NAME[name].pipeline in family.pipelines for name in gpu.MODELS.split(",")) for family in families()
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="by Triton's interpreter")
@pytest.mark.parametrize("error", [2e-4, torch.nan])
def test_a_kernel_that_is_wrong_is_told(error, monkeypatch):
    """Here only of maps that are not normalised, whose numbers are small."""
    pytest.importorskip("triton")
    from on_gpu import fused

    right = fused.add_probabilities_fused

    def wrong(parts, *given, normalize, finite):
        right(parts, *given, normalize=normalize, finite=finite)
        if not normalize:
            parts[-1].total[0, 0, 0] += error * parts[-1].total.max()

    monkeypatch.setattr(fused, "add_probabilities_fused", wrong)
    row = fused.compare("cpu", "float16", 40)
    assert row["failed"]
    assert row["difference"] == pytest.approx(error, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", ["sd1.5", "flux-dev"])
def test_published_shapes(name, tmp_path):
    from on_gpu.pipelines import exact, twin

    model = exact(name, "meta", "bfloat16", tmp_path)
    assert model.image_side == 512 if name == "sd1.5" else 1024
    parts = [part for part in model.pipe.components.values() if isinstance(part, torch.nn.Module)]
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.bfloat16}
    assert stored(parts) / 1e9 == pytest.approx(BY_NAME[name].billions, abs=0.006)
    if name != "sd1.5":  # whose twin is the embedded model
        narrow = twin(name, "cpu", "float32", tmp_path / "narrow").pipe.vae.config
        for key in ("scaling_factor", "shift_factor"):  # without the latter a pipeline that needs it cannot decode
            assert model.pipe.vae.config.get(key) == narrow.get(key)


@pytest.mark.skipif(torch.cuda.is_available(), reason="by Triton's interpreter")
def test_tiles_are_timed_or_say_why_not(monkeypatch):
    pytest.importorskip("triton")
    from on_gpu import tiles

    monkeypatch.setattr(tiles, "STAGES", (2,))
    layer = tiles.Layer(1, 20, 5, 8)
    row = tiles.tune("cpu", "float16", layer, [tiles.fused.TILES[-1], tiles.fused.Blocks(15, 16, 1)])
    assert [type(one) for one in row["tiles_ms"].values()] == [float, str]
    assert (row["library_values"], row["difference"]) == (0, 0)  # PyTorch has no cuDNN here
