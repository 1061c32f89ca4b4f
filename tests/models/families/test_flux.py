from builders.families import calls_of, generate

from seediff.prompts.specs import SampleSpec


def test_guidance_is_told_to_the_network(model):
    for scale in (1.0, 9.0):
        calls = calls_of(model, lambda scale=scale: generate(model, guidance_scale=scale))
        assert [call["guidance"].tolist() for call in calls] == [[scale, scale]] * 2


def test_words_are_t5s_and_a_long_prompt_is_clips_affair(model):
    """CLIP's tokens are no columns: its pooled state may read less."""
    assert generate(model)[1][1].words == {"cat": (4,), "pottedplant": (7, 8, 9)}
    long = "a photo of a dog" + " and a cat" * 40
    maps = generate(model, [SampleSpec(0, ("dog",), long, 0)])[1][0]
    assert maps.words == {"dog": (4, 5, 6, 7)}
