"""Narrow pipelines that draw clips, of diffusers' exact classes with random weights, and the maps of their frames,
computed from what attention is given."""

from contextlib import ExitStack, contextmanager

import torch
from builders.twins import WIDTH, flow_scheduler, sharpen, t5_encoder, t5_tokenizer

import seediff

PROMPT = "a photo of a cat and a potted plant"
SIDES = {"num_frames": 9, "height": 64, "width": 64}
ROWS = {"num_frames": 3, "height": 64, "width": 64}


def animate(pipe, *, moves=True):
    """AnimateDiff with the parts of a pipeline of Stable Diffusion. moves: otherwise frames do not see each other."""
    from diffusers import AnimateDiffPipeline, MotionAdapter

    torch.manual_seed(0)
    config = {"motion_num_attention_heads": 4, "motion_norm_num_groups": 16, "motion_max_seq_length": 8}
    adapter = MotionAdapter(tuple(pipe.unet.config.block_out_channels), **config)
    for name, weight in adapter.named_parameters():
        if not moves and ".proj_out." in name:
            weight.data.zero_()
    parts = {name: getattr(pipe, name) for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    return AnimateDiffPipeline(motion_adapter=adapter, **parts)


def text():
    torch.manual_seed(0)
    return {"tokenizer": t5_tokenizer(), "text_encoder": t5_encoder(t5_tokenizer()).eval()}


def wan(*, experts=1):
    from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel

    parts, second = text(), {}
    sizes = {"in_channels": 4, "out_channels": 4, "text_dim": WIDTH, "freq_dim": 16, "ffn_dim": 32, "num_layers": 2}
    networks = [sharpen(WanTransformer3DModel(num_attention_heads=2, attention_head_dim=12, **sizes)) for _ in range(2)]
    if experts == 2:
        second = {"transformer_2": networks[1], "boundary_ratio": 0.6}
    scale = {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}
    vae = AutoencoderKLWan(base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, **scale)
    return WanPipeline(**parts, vae=vae, scheduler=flow_scheduler(shift=3.0), transformer=networks[0], **second)


def cog_network(**more):
    from diffusers import CogVideoXTransformer3DModel

    sizes = {"in_channels": 4, "out_channels": 4, "time_embed_dim": 8, "text_embed_dim": WIDTH, "num_layers": 2}
    sides = {"sample_width": 8, "sample_height": 8, "sample_frames": 9, "max_text_seq_length": 226}
    given = {"num_attention_heads": 2, "attention_head_dim": 16, **sizes, **sides, **more}
    return sharpen(CogVideoXTransformer3DModel(**given))


def cog():
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXPipeline

    parts, network = text(), cog_network()
    own = {"latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 2}
    vae = AutoencoderKLCogVideoX(block_out_channels=(8, 8, 8, 8), **own)
    return CogVideoXPipeline(**parts, vae=vae, transformer=network, scheduler=CogVideoXDDIMScheduler())


def ltx():
    """Its autoencoder has 4 pixels per latent position and 4 frames per latent frame."""
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel

    parts, five, four = text(), (1,) * 5, (8,) * 4
    sizes = {"in_channels": 8, "out_channels": 8, "cross_attention_dim": 16, "caption_channels": WIDTH, "num_layers": 2}
    network = sharpen(LTXVideoTransformer3DModel(num_attention_heads=2, attention_head_dim=8, **sizes))
    halves, none = (True, True, False, False), (False,) * 4
    own = {"latent_channels": 8, "block_out_channels": four, "layers_per_block": five, "patch_size": 1}
    own |= {"decoder_block_out_channels": four, "decoder_layers_per_block": five, "decoder_inject_noise": (False,) * 5}
    own |= {"spatio_temporal_scaling": halves, "decoder_spatio_temporal_scaling": halves, "upsample_residual": none}
    vae = AutoencoderKLLTXVideo(**own, upsample_factor=(1,) * 4, patch_size_t=1, decoder_causal=False)
    return LTXPipeline(**parts, vae=vae, transformer=network, scheduler=flow_scheduler())


CLIPS = {
    "Wan 2.1": wan,
    "Wan 2.2": lambda: wan(experts=2),
    "CogVideoX": cog,
    "LTX": ltx,
}
"""Name → the pipeline; AnimateDiff is made of another one."""


def draw(pipe, prompt=PROMPT, **more):
    given = {"num_inference_steps": 1, "generator": torch.Generator().manual_seed(1), "output_type": "np", **SIDES}
    return pipe(prompt, **{**given, **(ROWS if hasattr(pipe, "motion_adapter") else {}), **more}).frames


@contextmanager
def products(networks):
    """The queries, keys and masks that attention is given in each call of the networks."""
    calls, own = [], torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, *args, attn_mask=None, **more):
        calls[-1].append((query.detach().clone(), key.detach().clone(), attn_mask))
        return own(query, key, *args, attn_mask=attn_mask, **more)

    def start(*_):
        calls.append([])
        torch.nn.functional.scaled_dot_product_attention = spy

    def stop(*_):
        torch.nn.functional.scaled_dot_product_attention = own

    with ExitStack() as stack:
        stack.callback(stop)
        for network in networks:
            stack.callback(network.register_forward_pre_hook(start).remove)
            stack.callback(network.register_forward_hook(stop).remove)
        yield calls


def by_frame(query, key, mask, frames, text):
    """(kind, N) → maps (B · frames, N, …): each frame attends to its own positions and to the text. text: how many
    columns it has before the frames, in joint attention."""
    count, maps = (query.shape[2] - text) // frames, {}
    for row in range(len(query)):
        for first in range(text, query.shape[2], count):
            own, columns = list(range(first, first + count)), list(range(key.shape[2]))
            if len(columns) == query.shape[2]:
                columns = own + columns[:text]
            scores = query[row, :, own].double() @ key[row][:, columns].double().mT * query.shape[3] ** -0.5
            if mask is not None:
                scores += mask[row][..., columns]
            shares = scores.softmax(-1).mean(0)
            parts = {"self": shares[:, :count], "cross": shares[:, count:]} if text else {"cross": shares}
            if len(columns) == count and not text:
                parts = {"self": shares}
            for kind, part in parts.items():
                maps.setdefault((kind, count), []).append(part)
    return {which: torch.stack(found) for which, found in maps.items()}


def expected_maps(pipe, calls):
    """(kind, N) → the means (latent frames, N, …) over the layers and the calls with the prompt."""
    name, found = type(pipe).__name__, {}
    frames = 3 if name != "AnimateDiffPipeline" else 1  # in a row of the batch
    for number, call in enumerate(calls):
        half = 0 if name == "WanPipeline" else len(call[0][0]) // 2
        if name == "WanPipeline" and number % 2:
            continue
        for states in call:
            if len(states[0]) == len(call[0][0]):  # otherwise AnimateDiff's, along time
                query, key, mask = (None if given is None else given[half:] for given in states)
                text = 226 if name == "CogVideoXPipeline" else 0
                for which, maps in by_frame(query, key, mask, frames, text).items():
                    found.setdefault(which, []).append(maps)
    return {which: torch.stack(maps).mean(0) for which, maps in found.items()}


def capture_spied(pipe, **more):
    """The clip as it is drawn under capture; its latent frames' maps; and their largest difference from those of what
    attention is given."""
    networks = [getattr(pipe, name, None) for name in ("unet", "transformer", "transformer_2")]
    with seediff.capture(pipe, normalize=False) as seen, products(filter(None, networks)) as calls:
        clip = draw(pipe, **more)
    differences = [0.0]
    every = [picture.outcome.maps for picture in seen._recording.pictures]
    latents = list({id(maps): maps for maps in every}.values())
    for (kind, count), tensor in expected_maps(pipe, calls).items():
        grid = next(grid for grid in latents[0].cross_attention if grid[0] * grid[1] == count)
        captured = torch.stack([getattr(maps, f"{kind}_attention")[grid] for maps in latents])
        assert captured.shape == tensor.shape
        differences.append(float((captured - tensor).abs().max()))
    assert len(differences) > 2
    return clip, seen, max(differences)
