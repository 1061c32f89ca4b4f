"""Captures networks from inside of what torch compiled, where that sees every product; others run as they are.

While the pipeline draws, captured layers have another `forward`. torch sees that, and compiles once more, with an
operator of capture's own in the place of PyTorch's function:

    the pipeline
      network(…)                                                  Listener.before_network, outside of compiled code
        compiled code
          layer.forward ─▶ F.scaled_dot_product_attention ─▶ _in_place ─▶ the operator seediff::attend
                                                                            │
        Python                                                              ├─▶ CapturedLayer.see
                                                                            └─▶ PyTorch's own operator

The layer goes on with the operator's result, so what the operator is given is the product that makes the picture. What
it reports depends on sizes, steps and rows with the prompt, of which compiled code knows nothing. So each version of
compiled code has one more, with capture, and is used again when layers have their own `forward` again.

Code that all blocks share cannot know which layer it runs. It gives the operator one of the layer's parameters, whose
address in memory identifies the layer. If a product did not come through the operator, the maps are refused.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MethodType
from typing import Any
from weakref import WeakSet

import torch
import torch.nn.functional as F

from ..errors import Notice, first_line
from ..models.families.layers import Layer
from .compiled import Part, Shared, compiled_parts, force_eager, tell_compiled
from .layers import CapturedLayer, Hook, given_text
from .networks import not_compiled
from .product import CALL_OPERATOR, OPERATOR, TORCHS, modes_of_others, patching, read_torch
from .recorder import AttentionRecorder


class _Traced:
    """The layer whose `forward` runs, while torch traces it. It is no `threading.local`, which torch cannot trace."""

    layer: Any = None
    text: Any = None


class _Called(threading.local):
    """The compiled network that runs in this thread."""

    layers: Mapping[Any, Sequence[CapturedLayer]] = {}
    """Each of its attention modules → what captures it; empty between drawings."""
    by_address: Mapping[int, Any] = {}
    """Where a module's parameter was in memory → the module."""


_called = _Called()


def parameter_of(layer: Any) -> Any:
    """The layer's first parameter that is a plain tensor, neither quantized nor wrapped; None: it has none."""
    for parameter in layer.parameters():
        if type(parameter) is torch.nn.Parameter:
            return parameter
    return None


def _layer_at(address: int) -> Any:
    """The attention module whose parameter is at this address now; None: none, or several."""
    layer = _called.by_address.get(address)
    if layer is None or parameter_of(layer).data_ptr() != address:  # weights may move between calls
        found: dict[int, Any] = {}
        for each in _called.layers:
            own = parameter_of(each).data_ptr()
            found[own] = None if own in found else each
        _called.by_address = found
        layer = found.get(address)
    return layer


_library = torch.library.Library("seediff", "DEF")
_library.define(
    "attend(Tensor query, Tensor key, Tensor value, Tensor? mask, Tensor parameter, Tensor? text, float dropout,"
    " bool is_causal, float? scale, bool enable_gqa) -> Tensor",
    # a replayed CUDA graph would run no Python
    tags=[tag for name, tag in torch.Tag.__members__.items() if name == "cudagraph_unsafe"],
)


def _attend(
    query: Any, key: Any, value: Any, mask: Any, parameter: Any, text: Any, dropout: float, is_causal: bool,
    scale: float | None, enable_gqa: bool,
) -> torch.Tensor:  # fmt: skip
    """PyTorch's attention of this product, which the captured layer sees. parameter: the layer's. text: what the layer
    was given as text; None: none, or not to be checked."""
    given = partial(read_torch, query, key, value, mask, dropout, is_causal, scale)
    for layer in _called.layers.get(_layer_at(parameter.data_ptr()), ()):
        layer.see(given, text)
    result = OPERATOR(query, key, value, mask, dropout, is_causal, scale=scale, enable_gqa=enable_gqa)
    return result.transpose(1, 2).contiguous().transpose(1, 2)  # as `_shape` says, and as most of its kernels do


def _shape(query: Any, _key: Any, value: Any, *_: Any) -> torch.Tensor:
    """The result for the compiler, without data."""
    batch, heads, queries, _channels = query.shape
    return query.new_empty(batch, queries, heads, value.shape[-1]).transpose(1, 2)


_library.impl("attend", _attend, "CompositeExplicitAutograd")
torch.library.register_fake("seediff::attend", _shape, lib=_library)


def _in_place(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """Replaces `F.scaled_dot_product_attention`. Outside of attention modules, and where gradients are
    kept, it calls PyTorch's function."""
    layer = _Traced.layer
    if layer is None or query.ndim != 4 or torch.is_grad_enabled():
        return TORCHS(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    return torch.ops.seediff.attend(
        query, key, value, attn_mask, parameter_of(layer), _Traced.text, dropout_p, is_causal, scale, enable_gqa
    )


CALL_OPERATOR.append(_in_place)


@contextmanager
def _put_in_place() -> Iterator[None]:
    with patching:
        F.scaled_dot_product_attention = _in_place
    try:
        yield
    finally:
        with patching:
            if F.scaled_dot_product_attention is _in_place:
                F.scaled_dot_product_attention = TORCHS


_put = Shared(_put_in_place)


@contextmanager
def _traced_anew(module: Any, layer: Layer) -> Iterator[None]:
    """Inside the block, an attention module has another `forward`, which torch traces."""
    own, is_cross = type(module).forward, layer.is_cross

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        _Traced.layer = self
        if is_cross:
            _Traced.text = given_text(args, kwargs)
        try:
            return own(self, *args, **kwargs)
        finally:
            _Traced.layer = _Traced.text = None

    forward.__module__ = own.__module__  # by which `check_processors` recognizes a foreign one
    module.forward = MethodType(forward, module)
    try:
        yield
    finally:
        del module.forward


@contextmanager
def _without_hooks(modules: Sequence[Any]) -> Iterator[None]:
    """Inside the block, modules have none of capture's hooks, which torch would trace."""
    taken: list[tuple[dict[int, Any], int, Any]] = []
    for module in modules:
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            taken += [(hooks, number, hook) for number, hook in hooks.items() if isinstance(hook, Hook)]
    for hooks, number, _hook in taken:
        del hooks[number]
    try:
        yield
    finally:
        for hooks, number, hook in taken:
            hooks[number] = hook


@dataclass
class CompiledNetworks:
    """A pipeline's networks, while it draws.

    networks: as the pipeline calls them, perhaps wrapped by torch.compile. recorders: what captures them.
    before_network: called with a network and the arguments of its call, before each.
    """

    networks: Sequence[Any]
    recorders: Sequence[AttentionRecorder]
    before_network: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], None]
    _stack: ExitStack = field(default_factory=ExitStack)

    @contextmanager
    def run(self) -> Iterator[None]:
        """Inside the block, what torch compiled is captured, or runs as it is, which a notice says. Networks that are
        not compiled: nothing changes."""
        parts = [part for network in self.networks for part in compiled_parts(network)]
        with self._stack:
            if parts and self._can_be_captured(parts):
                self._capture(parts)
            elif parts:
                tell_compiled()
                self._stack.enter_context(force_eager())
            yield

    @property
    def _own(self) -> list[Any]:
        """The networks themselves."""
        return [not_compiled(network) for network in self.networks]

    def _layers(self) -> dict[Any, Layer]:
        """The networks' attention modules. All have the operator, so code with capture is the same for all settings."""
        layers = self.recorders[0].plan.all_layers
        return {network.get_submodule(name): layer for network in self._own for name, layer in layers.items()}

    def _can_be_captured(self, parts: Sequence[Part]) -> bool:
        """Whether all captured layers are inside of compiled parts, and compute attention by PyTorch's function."""
        from torch._dynamo.eval_frame import _stance

        # 1. Nothing but compiled code runs it
        if F.scaled_dot_product_attention not in CALL_OPERATOR or modes_of_others():
            return False
        if _stance.stance == "force_eager" or _stance.skip_guard_eval_unsafe or _casts():
            return False
        if any(part.name not in vars(part.owner) for part in parts):  # compiled in the class, for all its modules
            return False

        # 2. Nobody changes what it is given
        inside = {module for part in parts for module in part.modules()}
        if any(hasattr(module, "_hf_hook") or _hooks_of_diffusers(module) for module in inside):
            return False
        for network in self._own:  # `before_network` would not see what a hook inside of compiled code changes
            hooks = network._forward_pre_hooks.values()
            if network in inside and not all(isinstance(hook, Hook) for hook in hooks):
                return False
        return all(module in inside and _calls_torch(module) for module in self._layers())

    def _capture(self, parts: Sequence[Part]) -> None:
        """Capture these parts until the end of the block."""
        from torch._dynamo import config

        enter, layers = self._stack.enter_context, self._layers()
        captured: dict[Any, list[CapturedLayer]] = {module: [] for module in layers}
        for recorder in self.recorders:
            recorder.is_compiled = True
            for one in recorder.layers:
                captured.setdefault(one.attention, []).append(one)  # it may have been replaced
        enter(_without_hooks([module for part in parts for module in part.modules()]))
        # Each version may have one with capture. Before torch 2.13, two threads at once may leave the limit doubled
        limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
        enter(config.patch({limit: 2 * getattr(config, limit)}))
        for module, layer in layers.items():
            enter(_traced_anew(module, layer))
        self._stack.callback(vars(_called).update, layers=_called.layers, by_address=_called.by_address)
        _called.layers, _called.by_address = captured, {}
        networks = {*self._own}
        for part in parts:
            network = next((module for module in part.modules() if module in networks), None)
            enter(_put_around(part, partial(self._call, part, vars(part.owner)[part.name], network)))
        if not networks <= _told:
            _told.update(networks)
            text = "torch compiles the network once more, with capture inside"
            warnings.warn(Notice(f"{text}; torch.compiler.set_stance('force_eager') avoids it"), stacklevel=2)

    def _call(self, part: Part, compiled: Callable[..., Any], network: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a part's compiled code. Where it cannot be compiled with capture inside, it runs as it is. network: the
        network, if the code is that of the whole one."""
        if torch.is_grad_enabled() or _casts():  # the operator keeps no gradients, and casts nothing
            self._stack.close()  # hooks capture it from now on
            tell_compiled()
            self._stack.enter_context(force_eager())
            return compiled(*args, **kwargs)
        if network is not None:
            self.before_network(network, args, kwargs)
        try:
            with _put():
                return compiled(*args, **kwargs)
        except Exception as error:
            of_compiler = type(error).__module__.startswith(("torch._dynamo.", "torch._inductor."))
            if not of_compiler and "fail_on_recompile" not in str(error):  # a stance that the script chose
                raise
            tell_compiled(f" (torch could not compile it with capture inside: {first_line(error)})")
            for recorder in self.recorders:
                recorder.check_not_seen({*part.modules()})
            self._stack.enter_context(force_eager())
            with _put():
                return compiled(*args, **kwargs)
        finally:
            if network is not None:
                for recorder in self.recorders:
                    recorder.end_call()


def _casts() -> bool:
    """Whether autocast changes the number format of what is computed on some device."""
    return torch._C._is_any_autocast_enabled()


@contextmanager
def _put_around(part: Part, call: Any) -> Iterator[None]:
    """Inside the block, a function is called in the place of compiled code. If somebody puts another one there, it
    stays there."""
    own = vars(part.owner)[part.name]
    setattr(part.owner, part.name, call)
    try:
        yield
    finally:
        if vars(part.owner).get(part.name) is call:
            setattr(part.owner, part.name, own)


def _hooks_of_diffusers(module: Any) -> Mapping[str, Any]:
    """Caches, offloading and others that diffusers put around a module. The table may be empty."""
    return getattr(getattr(module, "_diffusers_hook", None), "hooks", {})


_told = WeakSet[Any]()
"""Networks that were compiled with capture inside before."""


def _calls_torch(layer: Any) -> bool:
    """Whether a layer's processor is one of diffusers' that call PyTorch's function, and its `forward` its own."""
    from diffusers.models.attention_dispatch import AttentionBackendName
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    processor = getattr(layer, "processor", None)
    kind, nothing = type(processor), object()
    if not kind.__module__.startswith("diffusers.") or "forward" in vars(layer) or parameter_of(layer) is None:
        return False
    backend = getattr(processor, "_attention_backend", nothing)
    if backend is nothing:
        return kind.__name__.endswith("AttnProcessor2_0")
    return (backend or Registry.get_active_backend()[0]) == AttentionBackendName.NATIVE
