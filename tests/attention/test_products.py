"""Maps against softmax in float64 of what attention is given, as a spy sees it above and beneath capture."""

from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import torch
from builders.plans import capturing, plan_of
from builders.refusals import user_error
from builders.same_maps import assert_same_maps

from seediff.attention.see_photos import read_prompts
from seediff.config.methods import CaptureConfig

F = torch.nn.functional


CONTEXT, SIDE = 7, 16


@pytest.fixture
def unet(sd1_pipe):
    return sd1_pipe.unet


def draw(unet, seed=0, **more):
    noise = torch.Generator().manual_seed(seed)
    latents = torch.randn(2, 4, SIDE, SIDE, generator=noise).to(unet.dtype)
    states = torch.randn(2, CONTEXT, unet.config.cross_attention_dim, generator=noise).to(unet.dtype)
    return unet(latents, 500, encoder_hidden_states=states, **more).sample


@contextmanager
def spy(owner, products):
    """In this block, while the module runs, PyTorch's function is a spy's."""
    before = []

    def begin(*_):
        under = F.scaled_dot_product_attention
        before.append(under)

        def seen(query, key, value, attn_mask=None, **more):
            products.append((query.detach().clone(), key.detach().clone(), attn_mask))
            return under(query, key, value, attn_mask=attn_mask, **more)

        F.scaled_dot_product_attention = seen

    def end(*_):
        F.scaled_dot_product_attention = before.pop()

    hooks = owner.register_forward_pre_hook(begin), owner.register_forward_hook(end, always_call=True)
    yield
    for hook in hooks:
        hook.remove()


def largest_difference(recorder, products, row=-1):
    """From the mean over layers and calls of what a spy saw, as a share of each map's maximum."""
    found = {}
    for query, key, mask in products:
        scores = query.double() @ key.double().mT * query.shape[-1] ** -0.5
        if mask is not None:
            hidden = torch.zeros_like(mask, dtype=torch.float64)
            scores += hidden.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else mask.double()
        kind = "self" if query.shape[2] == key.shape[2] else "cross"
        mean = scores.softmax(-1).nan_to_num(0).mean(1)[row]
        found.setdefault((kind, query.shape[2]), []).append(mean)
    maps = recorder.maps([{}] * 2, [""] * 2)[row]
    differences = [0.0]
    for kind, (height, width), captured in maps.tensors():
        expected = torch.stack(found[kind, height * width]).mean(0)
        differences.append(float((captured - expected).abs().max() / expected.max()))
    assert len(differences) == len(found) + 1 > 5
    return max(differences)


def captured(unet):
    return capturing(unet, CaptureConfig(normalize=False))


def layers_of(unet):
    return [unet.get_submodule(name) for name in plan_of(unet).all_layers]


def masked(*, kind, shape):
    hidden = torch.zeros(*shape, dtype=torch.bool)
    hidden[..., -3:] = True
    if shape[-2] > 1:
        hidden[..., 0, :] = True  # a row without any visible column
    return ~hidden if kind == torch.bool else torch.zeros(shape, dtype=kind).masked_fill_(hidden, -torch.inf)


class Masked:
    """A processor with a mask of its own in cross-attention."""

    def __init__(self, mask):
        self.mask = mask

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        given = attention.to_q(hidden_states), attention.to_k(context), attention.to_v(context)
        query, key, value = (x.unflatten(2, (attention.heads, -1)).transpose(1, 2) for x in given)
        mask = None if encoder_hidden_states is None else self.mask(query.shape[2])
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attention.to_out[0](found.transpose(1, 2).flatten(2))


def half(unet, kind):
    unet.to(kind)


def gradients(unet):
    unet.requires_grad_(True)
    torch.set_grad_enabled(True)


def shape_of(heads, rows, queries):
    return 1, heads, queries if rows else 1, CONTEXT


def masks(unet, kind, rows, heads):
    for attention in layers_of(unet):
        shape = partial(shape_of, attention.heads if heads else 1, rows)
        attention.set_processor(Masked(lambda queries, shape=shape: masked(kind=kind, shape=shape(queries))))


WAYS = {
    "as always": lambda unet: None,
    "float16": partial(half, kind=torch.float16),
    "gradients": gradients,
    "bool mask with rows": partial(masks, kind=torch.bool, rows=True, heads=False),
    "float mask with rows and heads": partial(masks, kind=torch.float32, rows=True, heads=True),
}


SLOW = "float16", "gradients", "float mask with rows and heads"


@pytest.mark.parametrize(
    ("name", "above"),
    [
        *(("as always", True), ("as always", False), ("bool mask with rows", False), ("autocast", False)),
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_maps_are_of_what_attention_is_given(unet, name, above):
    """above: each layer's spy comes after capture's function, otherwise the network's spy before."""
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=name == "autocast")
    with torch.no_grad(), autocast:
        WAYS.get(name, lambda unet: None)(unet)
        plain, products = draw(unet), []
        with captured(unet) as recorder, ExitStack() as spies:
            for module in layers_of(unet) if above else [unet]:
                spies.enter_context(spy(module, products))
            drawn = draw(unet)
        assert F.scaled_dot_product_attention.__name__ == "scaled_dot_product_attention"
        assert torch.equal(drawn, plain)
        assert len(products) == len(layers_of(unet))
        assert largest_difference(recorder, products) < 1e-6


def test_backends_of_diffusers(loaded):
    """Those that call PyTorch's function."""
    model = loaded("qwen_image")
    latents, found = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)), []
    condition = read_prompts(model, ["a dog", "a photo of a cat"], latents)
    for backend in ("native", "_native_math"):
        for _, module in model.network.named_modules():
            if hasattr(module, "processor"):
                module.processor._attention_backend = backend
        with torch.no_grad(), capturing(model.network) as recorder:
            model.denoise(latents, 100, condition)
        found.append(recorder.maps([{}] * 2, [""] * 2))
    for one, other in zip(*found, strict=True):
        assert_same_maps(one, other)


@torch.no_grad()
def test_an_error_of_a_layer_and_ctrl_c_pass_on_and_leave_nothing(unet):
    plain, products = draw(unet), []
    with captured(unet) as recorder:
        for error in (KeyboardInterrupt, ZeroDivisionError):
            hook = layers_of(unet)[3].to_v.register_forward_hook(lambda *_, error=error: (_ for _ in ()).throw(error))
            with pytest.raises(error):
                draw(unet)
            hook.remove()
            recorder.restart()
            assert F.scaled_dot_product_attention.__name__ == "scaled_dot_product_attention"
        with spy(unet, products):
            assert torch.equal(draw(unet), plain)
    assert largest_difference(recorder, products) < 1e-6


@torch.no_grad()
def test_a_half_that_is_left_out_inside_is_refused(unet):
    """As diffusers' FasterCache does."""
    own = unet.mid_block.attentions[0].forward

    def half(states, encoder_hidden_states, **more):
        kept = own(states[1:], encoder_hidden_states=encoder_hidden_states[1:], **more)[0]
        return (torch.cat([kept, kept]),)

    unet.mid_block.attentions[0].forward = half
    with user_error("^mid_block"), captured(unet):
        draw(unet)


@torch.no_grad()
def test_layers_that_differ_are_named(unet):
    """A layer that gives its first result again, as caches of diffusers make it."""
    attention, kept = layers_of(unet)[0], []
    own = attention.forward

    def cached(*args, **more):
        if not kept:
            kept.append(own(*args, **more))
        return kept[0]

    attention.forward = cached
    with captured(unet) as recorder:
        draw(unet)
        draw(unet, 1)
    with pytest.warns(UserWarning, match=r"^down.*attn1 computed attention in some of 2 steps \(a cache\?\)"):
        recorder.maps([{}] * 2, [""] * 2)
