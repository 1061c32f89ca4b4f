import pytest
import torch
from builders.families import check_same_numbers
from builders.narrow import narrow_converters
from builders.refusals import user_error
from builders.single_files import single_file
from safetensors.torch import save_file

from seediff.models.registry import load_model
from seediff.models.single_file import SingleFile

pytestmark = pytest.mark.slow

gguf = pytest.importorskip("gguf")


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    narrow_converters(monkeypatch)


def write(path, folder, name, kind):
    """A file of the network, whose matrices are in this type, and what it says, as numbers."""
    quantised = gguf.GGMLQuantizationType[kind]
    block, _ = gguf.GGML_QUANT_SIZES[quantised]
    writer = gguf.GGUFWriter(path, name)
    said = {}
    for key, tensor in single_file(folder, name, ["transformer"], prefix="").items():
        fits = tensor.ndim == 2 and tensor.shape[1] % block == 0
        which = quantised if fits else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(tensor.numpy(), which)
        writer.add_tensor(key, data, raw_dtype=which)
        said[key] = torch.from_numpy(gguf.quants.dequantize(data, which).copy()).reshape(tensor.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return said


@pytest.mark.parametrize(("name", "kind"), [pytest.param("flux", "BF16", marks=pytest.mark.slow), ("sd3", "Q5_1")])
def test_maps_are_those_of_the_numbers_that_the_file_says(name, kind, twin, tmp_path):
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    folder = twin(name)
    said = write(tmp_path / "model.gguf", folder, name, kind)
    save_file(said, tmp_path / "said.safetensors")
    if name == "flux":
        assert SingleFile(str(tmp_path / "model.gguf")).base() == "flux-dev"
    model, exact = (
        load_model(str(tmp_path / file), base=str(folder), device="cpu") for file in ("model.gguf", "said.safetensors")
    )
    for place, module in model.network.named_modules():
        if type(module).__name__ == "GGUFLinear":  # diffusers multiplies in float16
            weight = exact.network.get_submodule(place).weight
            left = dequantize_gguf_tensor(module.weight).to(weight)
            torch.testing.assert_close(left, weight.data, rtol=1e-3, atol=1e-3 * float(weight.data.abs().max()))
            weight.data = left
    check_same_numbers(model, exact)
    assert any(type(module).__name__ == "GGUFLinear" for module in model.network.modules())


def refused(path, match, **options):
    with user_error(match):
        load_model(str(path), device="cpu", **options)


def test_damaged_files(twin, tmp_path):
    folder = twin("flux")
    write(path := tmp_path / "model.gguf", folder, "flux", "Q8_0")
    whole = path.read_bytes()
    refused(path, "cannot be loaded|its weights are not", base=str(twin("sd3")))
    for cut in (3, 2000):
        path.write_bytes(whole[:cut])
        refused(path, "cannot be loaded", base=str(folder))
