"""FLUX.2 klein: a narrow twin of its exact classes, with random weights from a seed, and its reference attention."""

from functools import partial

from builders.eager import Book
from builders.reference_attentions.flux import behind_t5
from builders.reference_attentions.flux2 import fused, parts, plain
from builders.twins import MISTRAL_WIDTH, language, qwen_tokenizer, saved


@saved
def save_flux2_klein(*, distilled=False):
    from diffusers import Flux2KleinPipeline
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = qwen_tokenizer()
    encoder = Qwen3ForCausalLM(Qwen3Config(**language(tokenizer, 28, MISTRAL_WIDTH), tie_word_embeddings=True))
    return Flux2KleinPipeline(
        **parts(guidance=False), text_encoder=encoder, tokenizer=tokenizer, is_distilled=distilled
    )


BOOK = Book(
    save_flux2_klein,
    fused,
    behind_t5,
    calls=2,
    plain=plain,
    variants={"klein-4b": partial(save_flux2_klein, distilled=True)},
    level=0.1,
)
