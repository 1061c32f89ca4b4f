import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from seediff.models.registry import load_model
from seediff.models.weights import choose_variant, is_enough, needed_files, variants

PARTS = ("unet", "vae", "text_encoder")
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
PLAIN = [f"{part}/{name}.safetensors" for part, name in WEIGHTS.items()]
HALF = [f"{part}/{name}.fp16.safetensors" for part, name in WEIGHTS.items()]
OTHERS = ["unet/diffusion_pytorch_model.non_ema.safetensors", "v1.safetensors", "safety_checker/model.fp16.safetensors"]
SHARDS = ["unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors", *HALF[1:]]
OLD_SHARDS = ["unet/diffusion_pytorch_model-00001-of-00002.fp16.safetensors", *HALF[1:]]


@pytest.mark.parametrize(
    ("files", "float32", "float16", "bfloat16"),
    [
        (PLAIN + OTHERS, None, None, None),
        (HALF, "fp16", "fp16", "fp16"),
        (PLAIN + HALF, None, "fp16", "fp16"),
        (SHARDS, "fp16", "fp16", "fp16"),
        (OLD_SHARDS, "fp16", "fp16", "fp16"),
        ([file.replace("fp16", "bf16") for file in HALF] + HALF, "fp16", "fp16", "bf16"),
    ],
)
def test_choice(files, float32, float16, bfloat16):
    for dtype, expected in (("float32", float32), ("float16", float16), ("bfloat16", bfloat16)):
        assert choose_variant(variants(files, "unet").values(), dtype) == expected
        needed = needed_files([*files, "unet/config.json", "extra/config.json"], PARTS, PARTS, dtype)
        assert [file for file in needed if file.startswith(("unet/", "extra/"))] == [
            "unet/config.json",
            next(file for file, variant in variants(files, "unet").items() if variant == expected),
        ]
    assert is_enough(files, PARTS, "float32") == (float32 is None)
    assert is_enough(files, PARTS, "float16")


def halve(folder, *, keep):
    """Give every part a .fp16 file of zeros, to tell it apart, beside the one that it has, or instead of it."""
    for part, name in WEIGHTS.items():
        plain = folder / part / f"{name}.safetensors"
        tensors = {
            key: value.half().zero_() if value.is_floating_point() else value for key, value in load_file(plain).items()
        }
        save_file(tensors, folder / part / f"{name}.fp16.safetensors", metadata={"format": "pt"})
        if not keep:
            plain.unlink()
    return folder


def is_full(model):
    """Whether the weights of each part are those of its float32 file."""
    return [any(p.any() for p in getattr(model.pipe, part).parameters()) for part in PARTS]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_folder_of_half_precision_alone(sd1_folder, tmp_path, dtype):
    model = load_model(
        str(halve(Path(shutil.copytree(sd1_folder, tmp_path / "model")), keep=False)), device="cpu", dtype=dtype
    )
    assert is_full(model) == [False] * 3
    assert {p.dtype for part in PARTS for p in getattr(model.pipe, part).parameters()} == {getattr(torch, dtype)}


@pytest.fixture
def hub(sd1_folder, tmp_path):
    """The part of the hub's protocol that its client needs, with one model of both kinds of weights; and which files it
    sent.
    """
    folder = halve(Path(shutil.copytree(sd1_folder, tmp_path / "served")), keep=True)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, data, name=None):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            if name is not None:
                self.send_header("ETag", f'"{name.replace("/", "-")}"')
                self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)
                sent.extend([name] if name else [])

        def do_GET(self):
            path = self.path.partition("?")[0]
            if path.startswith("/api/models/owner/name"):
                about = {"id": "owner/name", "sha": "c" * 40, "siblings": [{"rfilename": file} for file in files]}
                if "/tree/" in path:
                    tree = [{"type": "file", "path": f, "size": (folder / f).stat().st_size, "oid": f} for f in files]
                    self.answer(json.dumps(tree).encode())
                else:
                    self.answer(json.dumps(about).encode())
            elif path.partition("/resolve/")[2].partition("/")[2] in files:
                name = path.partition("/resolve/")[2].partition("/")[2]
                self.answer((folder / name).read_bytes(), name)
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


def load_from(address, cache, *dtypes):
    """From the hub at an address, which the hub's client reads when it is imported."""
    constants = {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
    }
    constants |= {"HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": True, "HF_HUB_OFFLINE": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        for name, value in constants.items():
            patch.setattr(f"huggingface_hub.constants.{name}", value)
        patch.setattr(huggingface_hub.hf_api.api, "endpoint", address)
        huggingface_hub.close_session()
        for dtype in dtypes:
            load_model("owner/name", device="cpu", dtype=dtype)
    huggingface_hub.close_session()


def weights(sent):
    return sorted(name for name in sent if name.endswith(".safetensors"))


def test_what_is_fetched(hub, tmp_path):
    """Half precision fetches no float32; what the cache holds is enough without a network; float32 is not half
    precision by chance.
    """
    address, sent = hub
    load_from(address, tmp_path / "half", "float16")
    assert weights(sent) == sorted(HALF)
    load_from("http://127.0.0.1:9", tmp_path / "half", "float16", "float32")
    assert weights(sent) == sorted(HALF)
    load_from(address, tmp_path / "half", "float32")
    assert weights(sent) == sorted(HALF + PLAIN)
    next(tmp_path.glob("half/*/snapshots/*/scheduler/*.json")).unlink()  # as of a download that was interrupted
    load_from(address, tmp_path / "half", "float32")
    assert weights(sent) == sorted(HALF + PLAIN)
