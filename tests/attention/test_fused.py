import json
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext

import pytest
import torch

pytest.importorskip("triton")

from builders.plans import capturing
from builders.same_maps import assert_same_maps
from builders.twins import small_unet

from seediff.attention import fused, kernels, launches, running_maps
from seediff.attention.fused import add_probabilities_fused
from seediff.attention.probabilities import Scores, Target, add_probabilities
from seediff.errors import Notice
from seediff.models.layers import KINDS

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TILE = launches.Tile(16, 32, 1)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """So that there are several each way, and a part of one, in a map that an interpreter gets through."""
    monkeypatch.setattr(launches, "choose_tile", lambda *_, **__: TILE)
    monkeypatch.setattr(fused, "_prepared", {})
    monkeypatch.setattr(fused, "_told", set())


def states(spread=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    # as they leave a projection: heads are no outer dimension
    shapes = ((2, length, 2, 10) for length in (40, 50))
    drawn = (torch.randn(shape, generator=generator).mul(spread) for shape in shapes)
    query, key = (states.to(DEVICE, dtype).transpose(1, 2) for states in drawn)
    return query, key


def by_the_book(part, before, query, key, scale, bias, normalize):
    scores = query.double() @ key.double().transpose(2, 3) * scale
    scores = scores if bias is None else scores + bias.double()
    mean = scores.softmax(-1)[..., part.columns].mean(1)
    peak = mean.amax(1 if part.per_column else (1, 2), keepdim=True)
    return before.double() + (mean / peak.clamp_min(torch.finfo(torch.float32).tiny) if normalize else mean)


def fused_map(query, key, bias=None, normalize=True):
    """The map by the kernels, and whether all was a number."""
    total = torch.zeros(len(query), query.shape[2], key.shape[2], device=DEVICE)
    finite = torch.zeros((), device=DEVICE)
    add_probabilities_fused([Target(total)], Scores(query, key, 0.3, bias), normalize=normalize, finite=finite)
    return total, finite.isfinite()


@pytest.mark.parametrize(
    ("normalize", "dtype", "biased"),
    [
        (True, torch.float32, None),
        (False, torch.float16, None),
        (True, torch.float16, "mask"),
        (False, torch.float32, "mask"),
        (True, torch.float16, "every head and query"),
        (False, torch.float32, "every head and query"),
    ],
)
def test_maps_are_float64s_and_torchs(normalize, dtype, biased):
    query, key = states(dtype=dtype, spread=1.5)
    bias = None
    if biased == "mask":
        bias = torch.zeros(2, 1, 1, 50, device=DEVICE)
        bias[0, ..., 45:] = -torch.inf
        bias[1, ..., :33] = -torch.inf  # nothing to be seen in the first tile
    elif biased:
        bias = torch.randn(2, 2, 40, 50, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    cuts = [(slice(0, 40), False), (slice(40, 50), True)]
    begun = torch.rand(2, 40, 50, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    parts, plain = ([Target(begun[..., columns].clone(), columns, each) for columns, each in cuts] for _ in range(2))
    for add, some in ((add_probabilities_fused, parts), (add_probabilities, plain)):
        finite = torch.zeros((), device=DEVICE)
        add(some, Scores(query, key, 0.3, bias), normalize=normalize, finite=finite)
        assert finite.isfinite()
    for part, other in zip(parts, plain, strict=True):
        book = by_the_book(part, begun[..., part.columns], query, key, 0.3, bias, normalize)
        torch.testing.assert_close(part.running_map.double(), book, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(part.running_map, other.running_map, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("value", "normalize"), [(torch.nan, False), (torch.inf, True)])
def test_what_is_not_a_number_is_told(value, normalize):
    query, key = states()
    query[1, 0, 3, 2] = value
    assert not fused_map(query, key, normalize=normalize)[1]


def test_where_there_is_no_gpu_or_no_triton_plain_torch_computes(monkeypatch):
    query = torch.zeros(1, 1, 4, 8)
    assert not fused.can_fuse(query)
    on_gpu = type("Query", (), {"device": torch.device("cuda"), "shape": query.shape, "itemsize": 2})()
    monkeypatch.setattr(fused, "runs_kernels", lambda _: True)
    assert fused.can_fuse(on_gpu)
    on_gpu.itemsize = 4
    assert not fused.can_fuse(on_gpu)
    on_gpu.itemsize = 2
    monkeypatch.undo()
    runs, device = fused.runs_kernels.__wrapped__, torch.device(DEVICE)
    assert runs(device)
    with monkeypatch.context() as patch:
        patch.setenv("SEEDIFF_FUSED", "0")
        assert not runs(device)
    monkeypatch.setattr(fused, "find_spec", lambda _: None)
    assert not runs(device)


COMPILED = """
import json, re, sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from seediff.attention import kernels, launches


def compiled(width, major, minor, shared):
    channels = max(16, 1 << (width - 1).bit_length())
    tile = launches.choose_tile(channels, launches.Card((major, minor), shared))
    target = GPUTarget("cuda", 10 * major + minor, 32)
    constants = {"ROWS": tile.rows, "COLUMNS": tile.columns, "CHANNELS": channels, "UNIT": 8}
    constants |= {"HAS_BIAS": False, "NORMALIZE": True, "PER_COLUMN": False}
    constants |= {"query_channel": 1, "key_channel": 1, "channels": width}
    kinds = dict.fromkeys(("query", "key", "bias"), "*bf16") | {"scale": "fp32"}
    kinds |= dict.fromkeys(("lses", "out", "means", "peaks", "finite"), "*fp32")
    strides = ("query_image", "query_row", "key_image", "key_row")  # multiples of 16 numbers in all published networks
    found = []
    for kernel in (kernels.log_sum_exps, kernels.head_means):
        given = {name: value for name, value in constants.items() if name in kernel.arg_names}
        signature = {name: "constexpr" if name in given else kinds.get(name, "i32") for name in kernel.arg_names}
        whole = [name for name in kernel.arg_names if name in strides or signature[name].startswith("*")]
        attributes = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in whole}
        source = ASTSource(kernel, signature, given, attributes)
        options = {"num_warps": tile.warps, "num_stages": tile.stages}
        made = compile(source, target=target, options=options)
        code = made.asm.get("ptx", "")
        narrow = len(re.findall(r"ld\\.global[.a-z0-9]*\\.b16", code))
        found.append([made.metadata.shared, narrow, "cp.async" in code])
    return tile, found


print(json.dumps([compiled(*one) for one in json.loads(sys.argv[1])]))
"""
CARDS = {"A100": (8, 0, 166_912), "RTX 40": (8, 9, 99 << 10), "H100": (9, 0, 232_448), "RTX 50": (12, 0, 99 << 10)}


LAYERS = (("RTX 40", 128), ("A100", 72), ("H100", 40), ("RTX 50", 72))


def compile_elsewhere(layers):
    """What COMPILED makes of layers, in a process that does not interpret."""
    environ = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, json.dumps(layers)], env=environ, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only there Triton brings NVIDIA's assembler")
def test_tiles_are_large_fit_and_load_16_bytes_at_a_time():
    """Compiled without a card, as for the strides of published networks."""
    made = compile_elsewhere([(width, *CARDS[card]) for card, width in LAYERS])
    for layer, (tile, compiled) in zip(LAYERS, made, strict=True):
        assert tile[0] * tile[1] >= 64 * 128
        for shared, narrow, pipelined in compiled:
            assert (shared <= CARDS[layer[0]][2], narrow, pipelined) == (True, 0, True), layer


def test_a_row_that_sees_no_column_is_0():
    query, key = states()
    bias = torch.zeros(2, 1, 40, 50, device=DEVICE)
    bias[:, :, 5] = -torch.inf
    total, finite = fused_map(query, key, bias)
    assert finite
    assert (total[:, 5] == 0).all()
    assert (total[:, 6].sum(1) > 0).all()


@pytest.mark.parametrize(
    ("kernel", "calls", "normalize"),
    [("log_sum_exps", 0, True), ("head_means", 1, False), ("head_means", 5, False), ("add_divided", 5, True)],
)
def test_where_a_card_refuses_a_tile_plain_torch_computes_after_one_warning(kernel, calls, normalize, monkeypatch):
    """In the trial or after it, and the second part alone: the first is not added twice. calls: those that succeed; the
    trial has four."""
    own = getattr(kernels, kernel)

    class Refusing:
        def __init__(self):
            self.calls = 0

        def __getitem__(self, grid):
            self.calls += 1
            if self.calls > calls:
                raise RuntimeError("out of resource: shared memory\nin detail")
            return own[grid]

    monkeypatch.setattr(kernels, kernel, Refusing())
    query, key = states(dtype=torch.float16)
    told = pytest.warns(Notice, match=r"cannot be used \(out of resource: shared memory\); plain torch")
    for warned in (told, nullcontext()):
        parts = [Target(torch.zeros(2, 40, 25, device=DEVICE), columns) for columns in (slice(0, 25), slice(25, 50))]
        with warned:
            add_probabilities_fused(parts, Scores(query, key, 0.3), normalize=normalize, finite=torch.zeros(()))
        for part in parts:
            book = by_the_book(part, torch.zeros_like(part.running_map), query, key, 0.3, None, normalize)
            torch.testing.assert_close(part.running_map.double(), book, atol=1e-5, rtol=1e-5)


def test_cards_without_tensor_cores_for_triton_use_plain_torch_without_a_warning(monkeypatch):
    monkeypatch.setattr(fused, "card_of", lambda _: launches.Card((7, 5), 64 << 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fused.runs_kernels.__wrapped__(torch.device("cpu"))


@pytest.mark.parametrize("kernel", ["log_sum_exps", "head_means", "add_divided"])
def test_kernels_that_a_card_miscompiles_are_not_believed(kernel, monkeypatch):
    """Each of them leaves a hundredth of what it writes too low; the first trial finds it, and the maps are right."""
    own = getattr(kernels, kernel)
    written = {"log_sum_exps": 3, "head_means": 4, "add_divided": 1}

    class Spoiling:
        def __getitem__(self, grid):
            def launch(*args, **kwargs):
                own[grid](*args, **kwargs)
                args[written[kernel]].view(-1)[::100] *= 0.9

            return launch

    monkeypatch.setattr(kernels, kernel, Spoiling())
    query, key = states(dtype=torch.float16)
    with pytest.warns(Notice, match=r"cannot be used \(they compute other maps than plain torch, off by"):
        total, _ = fused_map(query, key)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, _ = fused_map(query, key)  # said once
    book = by_the_book(Target(total), torch.zeros_like(total), query, key, 0.3, None, True)
    for each in (total, again):
        torch.testing.assert_close(each.double(), book, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spoils", [False, True])
def test_launches_are_prepared_once_and_tried(spoils, monkeypatch):
    """The interpreter prepares nothing, so here it stands in for what a compiler returns, which takes all arguments."""
    started = []

    class Compiled:
        def __init__(self, own):
            self.own = own

        def __getitem__(self, grid):
            def launch(*args):
                given = dict(zip(self.own.arg_names, args, strict=True))
                self.own[grid](**given)
                started.append(self.own.__name__)
                if spoils and "means" in given:
                    given["means"][0, 0, 0] *= 0.9

            return launch

    class Kernel:
        def __init__(self, own):
            self.own, self.arg_names = own, own.arg_names

        def __getitem__(self, grid):
            def launch(*tensors, **values):
                self.own[grid](*tensors, **values)
                return Compiled(self.own)

            return launch

    for name in ("log_sum_exps", "head_means", "add_divided"):
        monkeypatch.setattr(kernels, name, Kernel(getattr(kernels, name)))
    query, key = states(dtype=torch.float16)
    told = nullcontext()
    if spoils:
        told = pytest.warns(Notice, match="they compute other maps than plain torch")
    for _ in range(3):
        with told:
            total, _ = fused_map(query, key)
        book = by_the_book(Target(total), torch.zeros_like(total), query, key, 0.3, None, True)
        torch.testing.assert_close(total.double(), book, atol=1e-5, rtol=1e-5)
        told = nullcontext()
    assert len(started) == (3 if spoils else 12)  # the trial's, and those of three calls


@torch.no_grad()
def test_a_whole_capture_is_as_by_plain_torch(monkeypatch):
    unet, noise, found = small_unet().to(DEVICE), torch.Generator().manual_seed(0), []
    latents, words = (torch.randn(shape, generator=noise).to(DEVICE) for shape in ((1, 4, 8, 8), (1, 7, 8)))
    for by_kernels in (False, True):
        monkeypatch.setattr(running_maps, "can_fuse", lambda _, by_kernels=by_kernels: by_kernels)
        with capturing(unet, reads=dict.fromkeys(KINDS, (2,))) as recording:
            unet(latents, 300, encoder_hidden_states=words)
        found += recording.maps([{}], [""])
    assert_same_maps(*found, 1e-6)
