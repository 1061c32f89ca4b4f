import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from builders.refusals import user_error
from builders.single_files import rewrite

from seediff.cli.main import main
from seediff.models.hub import fetch_weights
from seediff.models.registry import load_model
from seediff.models.weights import chosen_files, has_all

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
        assert chosen_files(files, "unet", dtype)[0] == expected
    configured = [*files, *(f"{part}/config.json" for part in PARTS)]
    whole = files not in (SHARDS, OLD_SHARDS)
    for dtype, enough in (("float32", float32 is None), ("float16", whole), ("bfloat16", whole)):
        assert has_all(configured, PARTS, PARTS, dtype) == enough
    assert not has_all(files, PARTS, PARTS, "float16")


def halve(folder, *, keep):
    """Give every part a .fp16 file of zeros, to tell it apart, beside the one that it has, or instead of it."""
    for part, name in WEIGHTS.items():
        plain = folder / part / f"{name}.safetensors"
        half = Path(shutil.copy(plain, folder / part / f"{name}.fp16.safetensors"))
        rewrite(half, lambda tensors: {key: torch.zeros_like(one, dtype=torch.half) for key, one in tensors.items()})
        if not keep:
            plain.unlink()
    return folder


def test_a_folder_of_half_precision_alone(sd1_folder, tmp_path):
    folder = halve(Path(shutil.copytree(sd1_folder, tmp_path / "model")), keep=False)
    pipe = load_model(str(folder), device="cpu", dtype="float32").pipe
    every = [weight for part in PARTS for weight in getattr(pipe, part).parameters()]
    assert not any(weight.any() for weight in every)
    assert {weight.dtype for weight in every} == {torch.float32}


@pytest.fixture
def hub(sd1_folder, tmp_path):
    """The part of the hub's protocol that its client needs, with one model of both kinds of weights; and which files it
    sent.
    """
    folder = halve(Path(shutil.copytree(sd1_folder, tmp_path / "served")), keep=True)
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
            files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
            if path.startswith("/api/models/owner/name"):
                sizes = {file: (folder / file).stat().st_size for file in files}
                siblings = [{"rfilename": file, "size": size} for file, size in sizes.items()]
                tags = {"tags": ["diffusers", "license:openrail"]}
                about = {"id": "owner/name", "sha": "c" * 40, "siblings": siblings, **tags}
                tree = [{"type": "file", "path": file, "size": size, "oid": file} for file, size in sizes.items()]
                self.answer(json.dumps(tree if "/tree/" in path else about).encode())
            elif path.partition("/resolve/")[2].partition("/")[2] in files:
                name = path.partition("/resolve/")[2].partition("/")[2]
                self.answer((folder / name).read_bytes(), name)
            else:
                lacks = "/owner/name/" in path
                self.send_response(404 if lacks else 401)
                self.send_header("X-Error-Code", "EntryNotFound" if lacks else "RepoNotFound")
                self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


@contextmanager
def hub_at(address, cache):
    """In this block, the hub is at an address, which its client reads when it is imported."""
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
        yield
    huggingface_hub.close_session()


def load_from(address, cache, dtype):
    with hub_at(address, cache):
        load_model("owner/name", device="cpu", dtype=dtype)


def weights(sent):
    return sorted(name for name in sent if name.endswith(".safetensors"))


@pytest.mark.slow
def test_what_is_fetched(hub, tmp_path):
    """Half precision fetches no float32; what the cache holds is enough without a network; float32 is not half
    precision by chance.
    """
    address, sent = hub
    load_from(address, tmp_path / "half", "float16")
    assert weights(sent) == sorted(HALF)
    load_from("http://127.0.0.1:9", tmp_path / "half", "float16")
    with user_error("^model: owner/name cannot be fetched from the hub .*`hf download owner/name --local-dir FOLDER`"):
        load_from("http://127.0.0.1:9", tmp_path / "half", "float32")
    load_from(address, tmp_path / "half", "float32")
    assert weights(sent) == sorted(HALF + PLAIN)
    next(tmp_path.glob("half/*/snapshots/*/scheduler/*.json")).unlink()  # as of a download that was interrupted
    load_from(address, tmp_path / "half", "float32")
    assert weights(sent) == sorted(HALF + PLAIN)


def test_a_download_fetches_what_is_loaded(hub, tmp_path, capsys):
    address, sent = hub
    with hub_at(address, tmp_path / "cache"):
        for out in ([], ["--out", str(tmp_path / "out")]):
            sent.clear()
            assert main(["download", "owner/name", "--dtype", "float16", *out]) == 0
            assert "owner/name: all files are in" in capsys.readouterr().out
        assert weights(sent) == []  # the folder's are copied from the cache
        assert sorted(path.name for path in (tmp_path / "out/unet").iterdir() if path.is_file()) == [
            "config.json",
            "diffusion_pytorch_model.fp16.safetensors",
        ]
        sent.clear()
        assert main(["download", "owner/name", "--dtype", "float16", "--quiet"]) == 0
        assert sent == []
        load_model(tmp_path / "out", device="cpu")


def test_a_single_file_is_fetched_alone(hub, tmp_path):
    with hub_at(hub[0], tmp_path):
        path = fetch_weights("lora", f"owner/name/{HALF[0]}")
        assert (path.is_file(), weights(hub[1])) == (True, [HALF[0]])
        with user_error("^lora: owner/name: has no file typo.safetensors"):
            fetch_weights("lora", "owner/name/typo.safetensors")


def test_a_name_that_the_hub_lacks_and_a_hub_out_of_reach(hub, tmp_path):
    mistyped = "stabilityai/stable-difusion-xl-base-1.0"
    for address in (hub[0], "http://127.0.0.1:9"):
        with hub_at(address, tmp_path), user_error(f"^model: {mistyped} cannot be fetched from the hub .+; check its"):
            load_model(mistyped)
