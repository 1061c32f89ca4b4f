import json

from seediff.models.registry import load_model


def test_the_model_that_writes_prompts_again_is_left_out(folder, tmp_path):
    """Its folder is not even looked at."""
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index |= {"pe": ["transformers", "Ministral3ForCausalLM"], "pe_tokenizer": ["transformers", "TokenizersBackend"]}
    (tmp_path / "model_index.json").unlink()
    (tmp_path / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    assert load_model(str(tmp_path), device="cpu").pipe.pe is None
