"""Makes this machine's CPU answer to `cuda:0`, so that whole commands run with `--device cuda` where there is no GPU.

    seen = pretend_cuda.install(guard)     # before torch is imported; for the rest of the process, in every thread
    model = load_model("mini", device="cuda", dtype="float16")

Tensors on the GPU are wrappers whose `device` is cuda:0. What makes a tensor from nothing reaches a fallback of the
dispatch key CUDA, which a CPU build of torch leaves empty. So code that asks for `device.type == "cuda"` takes its CUDA
branch. The arithmetic is the CPU's. What CUDA refuses is refused: tensors of two devices, a generator of another
device, `.numpy()`, norms whose weights have another number format. Counted, with the line that asked: waits of the
host, and tensors of one stream that another one uses without having waited for them.

guard: the library that is made of guard.cpp, with what a CPU build of torch lacks for `.to("cuda")` and for backward.
"""

import ctypes
import importlib.util
import itertools
import sys
import threading
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace

WAITING = (
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount",
    "equal", "histc",
)  # fmt: skip
"""Operations for which the host needs values, or the size of the result."""
BY_MASK = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")
NORMS = ("native_layer_norm", "native_group_norm")
"""Batch norm takes weights in float32."""
NO_SCALARS = (
    "cat", "stack", "mm", "bmm", "addmm", "baddbmm", "gather", "index_select", "embedding", "convolution", "scatter",
    *NORMS,
)  # fmt: skip
"""Operations that refuse a tensor of the CPU even without dimensions."""
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward")
"""Operations that a CPU without half precision does in it 15 to 40 times as slowly as in float32."""
OWN_KERNELS = (
    "copy_", "_to_copy", "detach", "alias", "_local_scalar_dense", "arange", "arange.start", "arange.start_step",
)  # fmt: skip
"""Operations with a kernel for every device, which would be found before the fallback."""
FREE, TOTAL, SHARED = 20 << 30, 24 << 30, 101_376
"""Bytes of the pretended card: an RTX 4090."""

_ticks = itertools.count(1)
_here = threading.local()
_libraries = []


@dataclass
class Seen:
    """What was counted. waits, races: (operation, line) → how often. threads: names of those that used the GPU."""

    waits: Counter[tuple[str, str]] = field(default_factory=Counter)
    races: Counter[tuple[str, str]] = field(default_factory=Counter)
    threads: set[str] = field(default_factory=set)

    def clear(self):
        self.__init__()


seen = Seen()


class Stream:
    """Work in order. waited: another stream → the tick up to which this one has waited for it. done: the tick up to
    which the host has.
    """

    def __init__(self, *_, **__):
        self.waited: dict[Stream, int] = {}
        self.done = 0

    def record_event(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        self.waited[event.stream] = max(event.tick, self.waited.get(event.stream, 0))

    def synchronize(self):
        self.done = next(_ticks)


class Event:
    def __init__(self, *_, **__):
        self.stream, self.tick = DEFAULT, 0

    def record(self, stream=None):
        self.stream, self.tick = stream or current_stream(), next(_ticks)

    def wait(self, stream=None):
        (stream or current_stream()).wait_event(self)

    def synchronize(self):
        self.stream.done = max(self.stream.done, self.tick)


DEFAULT = Stream()


def current_stream(_device=None):
    return getattr(_here, "stream", DEFAULT)


def set_stream(stream):
    _here.stream = stream


def install(guard):
    """Pretend for the rest of this process. Must be called before torch is imported, which asks once for CUDA."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert "torch" not in sys.modules
    libraries = Path(str(spec.origin)).parent / "lib"
    for library in (libraries / "libc10.so", libraries / "libtorch_cpu.so", guard):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)

    import torch
    import torch._dynamo.polyfills.loader  # looks at every function of torch.cuda by its name

    cuda = torch.cuda
    card = SimpleNamespace(name="Pretended", total_memory=TOTAL, major=8, minor=9, multi_processor_count=128)
    card.shared_memory_per_block_optin = card.shared_memory_per_block = SHARED
    answers = {
        "is_available": True, "is_initialized": True, "device_count": 1, "current_device": 0,
        "is_bf16_supported": True, "get_device_name": card.name, "get_device_capability": (card.major, card.minor),
        "get_device_properties": card, "mem_get_info": (FREE, TOTAL), "memory_allocated": 0, "memory_reserved": 0,
        "max_memory_allocated": 0, "max_memory_reserved": 0, "_is_in_bad_fork": False, "default_stream": DEFAULT,
    }  # fmt: skip
    nothing = (
        "_lazy_init", "init", "synchronize", "empty_cache", "ipc_collect", "reset_peak_memory_stats", "set_device",
        "manual_seed", "manual_seed_all", "seed_all", "set_rng_state",
    )  # fmt: skip
    for name, answer in (answers | dict.fromkeys(nothing)).items():
        setattr(cuda, name, lambda *_, answer=answer, **__: answer)
    cuda.get_rng_state = lambda *_, **__: torch.get_rng_state()
    cuda.device = cuda.device_of = lambda *_, **__: nullcontext()
    cuda.Stream, cuda.Event, cuda.current_stream, cuda.set_stream = Stream, Event, current_stream, set_stream
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # `.data =` cannot make a tensor a wrapper

    run = _runner(torch)
    fallback, aten = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    fallback.fallback(lambda op, *args, **kwargs: run(op, args, kwargs), "CUDA")
    for name in OWN_KERNELS:
        packet, _, overload = name.partition(".")
        handle = getattr(getattr(torch.ops.aten, packet), overload or "default")
        aten.impl(name, lambda *args, handle=handle, **kwargs: run(handle, args, kwargs), "CUDA")
    _libraries.extend((fallback, aten))  # they end with their objects
    return seen


def _line():
    """The innermost line of code that is neither torch's nor this file's."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and "/torch/" not in file and not file.startswith("<") and "contextlib" not in file:
            return f"{'/'.join(file.rsplit('/', 3)[-3:])}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


def _runner(torch):
    """The function that does an operation (func, args, kwargs) on the pretended GPU."""
    cuda, half = torch.device("cuda", 0), (torch.float16, torch.bfloat16)
    plain = {int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format}

    def is_tensor(one):
        """`isinstance` asks the class of tensors in Python, which takes microseconds."""
        return type(one) is There or (type(one) not in plain and isinstance(one, torch.Tensor))

    class There(torch.Tensor):
        """A tensor that says it is on the GPU; `held` has its values."""

        @staticmethod
        def __new__(cls, held, requires_grad=False, **_):
            if type(held) is There:
                return held
            if held.device.type == "meta":  # accelerate makes weights by `type(weight)(values, …)`
                return torch.nn.Parameter(held, requires_grad=requires_grad)
            # A wrapper in inference mode cannot be a view of one outside of it.
            outside = torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
            with outside:
                made = torch.Tensor._make_wrapper_subclass(
                    cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
                    device=cuda, requires_grad=requires_grad,
                )  # fmt: skip
            made.held, made.stream, made.tick = held, current_stream(), next(_ticks)
            return made

        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            return run(func, args, kwargs or {})

        def tolist(self):
            return self.cpu().tolist()

        def untyped_storage(self):
            return self.held.untyped_storage()

        def data_ptr(self):
            return self.held.data_ptr()

        def __repr__(self, **_):
            return f"There({self.held!r})"

        def __deepcopy__(self, memo):
            copied = There(self.held.detach().clone(), self.requires_grad)
            if getattr(self, "_is_param", False):
                copied._is_param = True
            memo[id(self)] = copied
            return copied

    # torch's own walks through any tree of arguments would take most of the time; those of operations are flat.
    def leaves(arguments):
        """The arguments of an operation, with the entries of its lists."""
        found = []
        for one in arguments:
            if isinstance(one, list | tuple):
                found.extend(one)
            else:
                found.append(one)
        return found

    def mapped(change, value):
        """An argument or a result with `change` done to it, or to each entry of a list."""
        if not isinstance(value, list | tuple):
            return change(value)
        entries = [change(one) for one in value]
        return entries if isinstance(value, list) else tuple(entries)

    def called(func, change, args, kwargs):
        """An operation with changed arguments."""
        return func(*(mapped(change, one) for one in args), **{key: mapped(change, one) for key, one in kwargs.items()})

    def on_cpu(one):
        return one.held if type(one) is There else one

    def refuse(name, args, kwargs, tensors, there, onto):
        """What CUDA refuses."""
        generator = kwargs.get("generator")
        if generator is not None and onto and generator.device.type != "cuda":
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{generator.device.type}'")
        if there and name not in ("_to_copy", "copy_"):
            indices = {id(one) for one in args[1]} if name in BY_MASK else set()
            for one in tensors:
                beside = not isinstance(one, There) and id(one) not in indices
                if beside and (one.ndim or name in NO_SCALARS):
                    raise RuntimeError(f"Expected all tensors to be on the same device, not cuda:0 and cpu! ({name})")
        if name in NORMS and len({one.dtype for one in tensors if one.is_floating_point()}) > 1:
            raise RuntimeError(f"{name}: expected input and weights of one number format")

    def count(name, args, kwargs, there, onto):
        """Waits of the host, and tensors of other streams."""
        stream = current_stream()
        by_mask = name in BY_MASK and any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])
        repeats = name == "repeat_interleave" and kwargs.get("output_size") is None
        from_gpu = name in ("_to_copy", "copy_") and bool(there) and not onto
        if there and (name in WAITING or by_mask or repeats or from_gpu):
            seen.waits[name, _line()] += 1
            stream.synchronize()
        for one in there:
            known = max(one.stream.done, stream.waited.get(one.stream, 0))
            if one.stream is not stream and known < one.tick:
                seen.races[name, _line()] += 1

    def compute(func, tensors, args, kwargs):
        """On the CPU; products of half precision in float32, and everything for which the CPU has no kernel in half
        precision, which CUDA has for everything."""
        name, mutable = facts(func)
        narrow = [one.dtype for one in tensors if one.dtype in half]
        widens = bool(narrow) and not mutable
        if not widens or name not in PRODUCTS:
            try:
                return called(func, on_cpu, args, kwargs)
            except (RuntimeError, NotImplementedError) as error:
                if "not implemented for" not in str(error) or not widens:
                    raise

        def widen(one):
            held = on_cpu(one)
            if is_tensor(held):
                return held.float() if held.dtype in half else held
            return torch.float32 if held in half else held

        def narrowed(one):
            return one.to(narrow[0]) if getattr(one, "dtype", None) == torch.float32 else one

        return mapped(narrowed, called(func, widen, args, kwargs))

    @cache
    def facts(func):
        """An operation's name, and whether it writes to an argument."""
        return func._schema.name.partition("::")[2], func._schema.is_mutable

    def run(func, args, kwargs):
        name, mutable = facts(func)
        if name == "record_stream":
            return None
        flat = leaves((*args, *kwargs.values()))
        tensors = [one for one in flat if is_tensor(one)]
        there = [one for one in tensors if type(one) is There]
        asked = kwargs.get("device")
        onto = torch.device(asked).type == "cuda" if asked is not None else bool(there)
        if name == "copy_":
            onto = isinstance(args[0], There)
        seen.threads.add(threading.current_thread().name)
        refuse(name, args, kwargs, tensors, there, onto)
        count(name, args, kwargs, there, onto)
        given = {key: value for key, value in kwargs.items() if key != "pin_memory"}
        if asked is not None and onto:
            given["device"] = torch.device("cpu")
        found = compute(func, tensors, args, given)
        if not onto:
            return found
        written = {id(one.held): one for one in there}

        def back(one):
            if type(one) is There or not is_tensor(one):
                return one
            if id(one) not in written:
                return There(one)
            result = written[id(one)]
            if mutable:
                result.stream, result.tick = current_stream(), next(_ticks)
            return result

        return mapped(back, found)

    return run
