import numpy as np
from builders.families import generate
from builders.reference_attentions.flux import save_flux
from builders.refusals import user_error

from seediff.models.registry import load_model
from seediff.prompts.specs import SampleSpec


def test_guidance_is_told_to_the_network(model):
    calls = []
    handle = model.network.register_forward_pre_hook(lambda _m, _a, kwargs: calls.append(kwargs), with_kwargs=True)
    weak, strong = generate(model, guidance_scale=1.0)[0], generate(model, guidance_scale=9.0)[0]
    handle.remove()
    assert [call["guidance"].tolist() for call in calls] == [[1.0, 1.0]] * 2 + [[9.0, 9.0]] * 2
    assert not np.array_equal(weak[0], strong[0])


def test_words_are_t5s_and_a_long_prompt_is_clips_affair(model):
    """CLIP's tokens are no columns: its pooled state may read less."""
    assert generate(model)[1][1].words == {"cat": (4,), "pottedplant": (7, 8, 9)}
    long = "a photo of a dog" + " and a cat" * 40
    maps = generate(model, [SampleSpec(0, ("dog",), long, 0)])[1][0]
    assert maps.words == {"dog": (4, 5, 6, 7)}


def test_schnell_draws_without_guidance(tmp_path):
    schnell = load_model(str(save_flux(tmp_path / "schnell", guidance=False)), device="cpu")
    with user_error(r"guidance_scale: 3\.5: model '.*schnell' draws without guidance"):
        generate(schnell, guidance_scale=3.5)
