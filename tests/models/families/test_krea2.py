import pytest
from builders.families import SPECS, calls_of, request

import seediff

pytestmark = pytest.mark.slow


def test_a_word_that_was_cut_off_is_not_found_in_the_templates_end(model):
    """Which has the last columns, however few the pipeline is told to make."""
    prompt, few = "a cat" + " and a bus" * 20, {"max_sequence_length": 32, "guidance_scale": 0.0}
    with seediff.capture(model.pipe) as seen:
        model.pipe(prompt, height=64, width=64, num_inference_steps=1, **few)
    columns = seen.maps[0].words["bus"]
    (reader,) = model.readers
    tokens = reader.tokenizer(model.pipe.prompt_template_encode_prefix + prompt).input_ids[-reader.first :]
    assert {reader.tokenizer.decode(tokens[column]).strip() for column in columns} == {"bus"}
    assert max(columns) < 32 - reader.tail <= max(columns) + 3


@pytest.mark.parametrize(("guidance", "calls"), [(0.0, 2), (1.0, 2), (1.5, 4)])
def test_no_guidance_is_0_in_the_pipeline(model, guidance, calls):
    """Which would guide with 1, because its scale counts from 0."""
    count = len(calls_of(model, lambda: model.pipe(**request(model, SPECS[:1], guidance=guidance))))
    assert count == calls == 2 * (1 + (guidance > 1))
