import ast
import warnings
from pathlib import Path

import pytest
import torch
from refusals import user_error
from torch.utils._device import _device_constructors

import seediff
from seediff import devices
from seediff.config.train import make_config, with_device
from seediff.devices import BF16_SWITCH, check_device, default_device, has_bfloat16, mixed_precision
from seediff.errors import Notice


@pytest.mark.parametrize(("said", "there"), [("0", False), ("1", True)])
def test_switch_says_whether_there_is_bfloat16(monkeypatch, said, there):
    monkeypatch.setenv(BF16_SWITCH, said)
    assert has_bfloat16("cpu") is there
    mixed, ones = torch.bfloat16 if there else torch.float32, torch.ones(2, 2)
    with mixed_precision("cpu"):
        assert (ones @ ones).dtype == mixed
    with mixed_precision("cpu", not there):  # what was asked for wins
        assert (ones @ ones).dtype != mixed
    assert with_device(make_config({"backbone": "tiny", "device": "cpu"})).dtype == ("bfloat16" if there else "float32")
    assert with_device(make_config({"backbone": "swin-t", "device": "cpu"})).dtype == "float32"
    assert with_device(make_config({"backbone": "tiny", "device": "cpu", "dtype": "bfloat16"})).dtype == "bfloat16"


@pytest.mark.parametrize(
    ("onednn", "avx512_bf16", "amx", "machine", "there"),
    [
        (True, True, False, "x86_64", True),
        (True, False, True, "AMD64", True),
        (True, False, False, "x86_64", False),  # AVX-512 alone: oneDNN can, by converting
        (False, True, True, "x86_64", False),  # oneDNN is told not to
        (True, False, False, "aarch64", True),
        (False, False, False, "arm64", False),
    ],
)
def test_cpu_has_bfloat16_when_it_computes_in_it(monkeypatch, onednn, avx512_bf16, amx, machine, there):
    monkeypatch.delenv(BF16_SWITCH, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    devices._computes_bfloat16.cache_clear()
    try:
        assert has_bfloat16("cpu") is there
    finally:
        devices._computes_bfloat16.cache_clear()


OLD = "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). Please update it."


@pytest.mark.parametrize(
    ("warned", "said"),
    [
        (OLD, r"The NVIDIA driver on your system is too old \(found version 11040\)"),
        ("", "this PyTorch was built for CPUs only; install one for CUDA"),  # beside an NVIDIA driver
    ],
)
def test_a_driver_that_is_too_old_is_told(monkeypatch, warned, said):
    """As torch says it, once in a process; no driver at all is no news."""
    there = (lambda: bool(warnings.warn(warned, stacklevel=2))) if warned else (lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", there)
    monkeypatch.setattr(devices, "_only_cpus", lambda: not warned)
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/usr/bin/{name}")
    devices._no_cuda.cache_clear()
    try:
        with pytest.warns(Notice, match=f"^the GPU is not used: {said}"):
            assert default_device() != "cuda"
        with user_error(f"^device: cuda: is not available: {said}"):
            check_device("cuda")
    finally:
        devices._no_cuda.cache_clear()


def test_devices_that_are_not_there_are_refused():
    assert check_device(default_device()) in ("cuda", "mps", "cpu")
    for device in ("gpu", "cpu:x"):
        with user_error(f"^device: {device} must be one of cuda"):
            check_device(device)
    built = "available: .*cpu" if torch.version.cuda else r"this PyTorch was built for CPUs only; install one for CUDA"
    with user_error(rf"^device: cuda:99: is not available.* {built}"):
        check_device("cuda:99")


WHOLE = ("torch.arange", "torch.randint")
"""Their numbers are whole whatever a script chooses, if those that they are given are."""


def test_every_new_tensor_says_its_device_and_number_format():
    """Otherwise a script's `torch.set_default_device` or `set_default_dtype` would decide."""
    makers = {f"torch.{maker.__name__}" for maker in _device_constructors()}
    silent = []
    for path in Path(seediff.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in makers:
                said = {keyword.arg for keyword in node.keywords}
                needed = {"device"} if ast.unparse(node.func) in WHOLE else {"device", "dtype"}
                if None not in said and not said >= needed:
                    silent.append(f"{path.name}, line {node.lineno}: {ast.unparse(node)}")
    assert not silent
