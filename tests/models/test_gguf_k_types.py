"""GGUF's K types, in which most files are passed on: the `gguf` package reads them and writes none, so blocks are made
here, of random bits and scales of a chosen size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders.families import generate, largest_difference
from builders.narrow import narrow_converters
from builders.single_files import single_file

from seediff.models.registry import load_model

gguf = pytest.importorskip("gguf")
BLOCK = 256
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Type → at which bytes of a block the numbers in float16 are, by which everything else in it is multiplied."""


def blocks(kind: str, rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """(rows, bytes) uint8: any bits make a block, but scales that are not numbers would make weights that are none."""
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
    made = generator.integers(0, 256, (rows * columns // BLOCK, size), dtype=np.uint8)
    for at in SCALES[kind]:
        made[:, at : at + 2] = generator.uniform(1e-5, 1e-4, (len(made), 1)).astype(np.float16).view(np.uint8)
    return made.reshape(rows, -1)


@pytest.mark.parametrize("kind", SCALES)
def test_numbers_are_those_of_the_format(kind):
    from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor

    quantised = gguf.GGMLQuantizationType[kind]
    made = blocks(kind, 8, 2 * BLOCK, np.random.default_rng(0))
    expected = gguf.quants.dequantize(made, quantised)
    found = dequantize_gguf_tensor(GGUFParameter(torch.from_numpy(made.copy()), quant_type=quantised))
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 0
    torch.testing.assert_close(
        found.float(), torch.from_numpy(expected.copy()), rtol=1e-3, atol=1e-3 * float(np.abs(expected).max())
    )  # half precision


@pytest.mark.parametrize("kind", SCALES)
def test_a_file_of_them(kind, twin, tmp_path, monkeypatch):
    """One of the layers is wide enough for a block; the file is loaded, and draws."""
    narrow_converters(monkeypatch)
    quantised = gguf.GGMLQuantizationType[kind]
    folder, path = twin("sd3"), tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "sd3")
    said: dict[str, np.ndarray] = {}
    generator = np.random.default_rng(1)
    for key, tensor in single_file(folder, "sd3", ["transformer"], prefix="").items():
        if tensor.ndim == 2 and tensor.shape[1] % BLOCK == 0:
            made = blocks(kind, *tensor.shape, generator)
            said[key] = gguf.quants.dequantize(made, quantised)
            writer.add_tensor(key, made, raw_dtype=quantised)
        else:
            writer.add_tensor(key, tensor.numpy(), raw_dtype=gguf.GGMLQuantizationType.F32)
    write(writer)
    model = load_model(str(path), base=str(folder), device="cpu")
    held = [
        module
        for module in model.network.modules()
        if getattr(getattr(module, "weight", None), "quant_type", None) == quantised
    ]
    assert len(held) == len(said) > 0
    images, _ = generate(model)
    assert np.isfinite(np.stack(images)).all()
    assert largest_difference(model) < 1e-5


def write(writer) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
