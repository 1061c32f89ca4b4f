"""Lumina 2: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

import torch
from builders.eager import Book, rotated, softmax_of
from builders.twins import WIDTH, flow_scheduler, gemma, saved, sharpen, vae_of_flux


@saved
def save_lumina2():
    """Lumina 2: a block that sees the picture, one that sees the text, and two of both; at 64 pixels, 4² positions."""
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel

    tokenizer, encoder = gemma()
    transformer = Lumina2Transformer2DModel(
        sample_size=16,
        in_channels=4,
        hidden_size=64,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=16,
        axes_dim_rope=(4, 6, 6),
        axes_lens=(300, 32, 32),
        cap_feat_dim=WIDTH,
    )
    return Lumina2Pipeline(
        transformer=sharpen(transformer),
        scheduler=flow_scheduler(shift=6.0),
        vae=vae_of_flux(4),
        text_encoder=encoder,
        tokenizer=tokenizer,
    )


def single(attention, hidden, given):
    """Lumina2AttnProcessor2_0 by hand. Columns are reordered to the picture, its text, padding. The text ends where the
    first of the three positions that rotate a column stops changing."""
    turn, both = given["image_rotary_emb"], []  # (B, S, D/2), complex
    for which in ("q", "k"):
        width = attention.to_q.out_features // attention.heads
        split = getattr(attention, f"to_{which}")(hidden).unflatten(2, (-1, width))
        states = getattr(attention, f"norm_{which}")(split).transpose(1, 2)
        turned = rotated(states, turn[:, None])
        both.append(turned.repeat_interleave(attention.heads // turned.shape[1], 1))
    mask = given["attention_mask"]
    probabilities = softmax_of(*both, mask)
    columns = hidden.shape[1]
    ordered = []
    for image, rows in enumerate(probabilities):
        text = int(((turn[image, 1:, 0] - turn[image, :-1, 0]).abs() < 1e-6).float().argmax())
        end = columns if mask is None else int(mask[image].sum())
        order = [*range(text, end), *range(text), *range(end, columns)]
        ordered.append(rows[:, order][:, :, order])
    return torch.stack(ordered)


def read(model, prompt):
    """The number of tokens that are read of a prompt."""
    return len(model.pipe.tokenizer(f"{model.pipe.system_prompt} <Prompt Start> {prompt}").input_ids)


def before_the_longest(model, positions, prompts):
    return slice(0, positions), slice(positions, positions + max(read(model, prompt) for prompt in prompts))


BOOK = Book(save_lumina2, single, before_the_longest, calls=2, level=0.9, padded=False)
