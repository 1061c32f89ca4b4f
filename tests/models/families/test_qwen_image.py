from builders.families import generate
from builders.reference_attentions.qwen_image import QWEN_CUT as CUT

from seediff.prompts.specs import SampleSpec


def test_the_template_has_as_many_tokens_as_the_pipeline_cuts_off(model):
    """As with the real tokenizer: column 0 is the prompt's first token."""
    assert len(model.pipe.tokenizer(model.pipe.prompt_template_encode.split("{}")[0]).input_ids) == CUT
    assert model.pipe.prompt_template_encode_start_idx == CUT
    maps = generate(model, [SampleSpec(0, ("cat",), "cat and so on", 0)])[1][0]
    assert maps.words == {"cat": tuple(range(maps.words["cat"][-1] + 1))}
