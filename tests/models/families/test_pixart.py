import pytest

from seediff.prompts.tokens import locate_columns


@pytest.mark.parametrize("prompt", ["a photo of a DOG", "İİİ a photo of a dog"])
def test_words_are_found_in_the_small_letters_that_are_read(model, prompt):
    """The small letter of İ is two characters long."""
    (columns,) = locate_columns(model.readers, prompt, ("dog",)).values()
    ids = model.pipe.tokenizer(prompt.lower()).input_ids
    assert model.pipe.tokenizer.decode([ids[column] for column in columns]).strip() == "dog"
