import json
import re
import shutil
from pathlib import Path

import pytest
from builders.single_files import configure

from seediff.cli.main import main
from seediff.models.families import families
from seediff.models.registry import load_model

EVIL = """
from pathlib import Path
Path({marker!r}).touch()
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
class EvilConfig(CLIPTextConfig): pass
class Evil(CLIPTextModel): pass
class EvilTokenizer(CLIPTokenizer): pass
"""
AUTO_MAP = {
    "AutoConfig": "evil.EvilConfig",
    "AutoModel": "evil.Evil",
    "AutoModelForCausalLM": "evil.Evil",
    "AutoTokenizer": ["evil.EvilTokenizer", None],
}


# Other tokenizers, processors and numbers of parts
@pytest.fixture(scope="module", params=["unet", pytest.param("flux2", marks=pytest.mark.slow)])
def sound(request, twin):
    return twin(request.param)


class Attack:
    """A copy of a model's folder with evil.py wherever it may be looked for; `ran`: whether it was executed."""

    def __init__(self, sound, path):
        self.folder, self.marker = Path(shutil.copytree(sound, path / "model")), path / "ran"
        self.index = json.loads((self.folder / "model_index.json").read_text())
        self.family = next(family for family in families() if self.index["_class_name"] in family.pipelines)
        for place in ("", "text_encoder", "tokenizer", self.family.network_part):
            self.code(f"{place}/evil.py")

    @property
    def ran(self):
        return self.marker.exists()

    def code(self, file):
        (self.folder / file.lstrip("/")).write_text(EVIL.format(marker=str(self.marker)))

    def retell(self, file, **values):
        configure(self.folder / file, **values)


@pytest.fixture
def attack(sound, tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # as `yes |` answers
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return Attack(sound, tmp_path)


def refused(attack, out, capsys, model=None):
    """The one line with which `generate` refuses the model."""
    line = f"generate --classes dog --per-class 1 --device cpu --quiet --out {out}".split()
    assert main([*line, "--model", model or str(attack.folder)]) == 2
    assert not attack.ran
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert not out.exists()
    return error


@pytest.mark.slow
def test_classes_that_look_for_code(attack, tmp_path, capsys):
    network = attack.family.network_part
    attack.retell("text_encoder/config.json", auto_map=AUTO_MAP, model_type="evil")
    attack.retell("tokenizer/tokenizer_config.json", auto_map=AUTO_MAP, tokenizer_class="EvilTokenizer")
    attack.retell(f"{network}/config.json", auto_map=AUTO_MAP)
    for part, made_of in (
        *(("text_encoder", ["transformers", kind]) for kind in ("AutoModel", "AutoModelForCausalLM", "AutoConfig")),
        (network, ["diffusers", "AutoModel"]),
        ("tokenizer", ["transformers", "AutoTokenizer"]),
        ("tokenizer", ["transformers", "CLIPTextModel"]),
        ("scheduler", ["diffusers", "AutoencoderKL"]),
        ("vae", ["evil", "Evil"]),
        ("vae", ["diffusers", "DiffusionPipeline"]),
        ("vae", ["diffusers", "AutoencoderKL", "more"]),
        ("reranker", ["transformers", "AutoModel"]),
    ):
        attack.retell("model_index.json", **{part: made_of})
        assert f"model_index.json: {part} = " in refused(attack, tmp_path / "out", capsys)
        (attack.folder / "model_index.json").write_text(json.dumps(attack.index))


def test_configurations_that_name_code(attack, tmp_path, capsys):
    """Of a class that would not look at them, in every part, at any depth."""
    files = [
        "model_index.json",
        *(p.relative_to(attack.folder).as_posix() for p in attack.folder.glob("*/*config.json")),
    ]
    assert len(files) > 4
    for file in files:
        kept = (attack.folder / file).read_bytes()
        for more in ({"auto_map": AUTO_MAP}, {"nested": [{"custom_pipeline": "evil"}]}):
            attack.retell(file, **more)
            assert f"{file}: " in (line := refused(attack, tmp_path / "out", capsys))
            assert "leads to code or files elsewhere" in line
        (attack.folder / file).write_bytes(kept)


def test_parts_that_lead_to_files_elsewhere(attack, tmp_path, capsys):
    part = f"{attack.family.network_part}/diffusion_pytorch_model.safetensors.index.json"
    for file, values, said in (
        ("text_encoder/adapter_config.json", {"base_model_name_or_path": "someone/else"}, "leads to code or files"),
        (part, {"weight_map": {"a": "1.safetensors", "b": "2.bin"}}, "names weights that are no safetensors files"),
    ):
        (attack.folder / file).write_text(json.dumps(values))
        assert re.search(f"{file}: .*{said}", refused(attack, tmp_path / "out", capsys))
        (attack.folder / file).unlink()


def test_which_attention_computes_is_not_the_configurations_choice(attack):
    """transformers would fetch a repository's code by the package `kernels`."""

    def chosen():
        return load_model(str(attack.folder), device="cpu").pipe.text_encoder.config._attn_implementation

    before = chosen()
    attack.retell(
        "text_encoder/config.json", attn_implementation="someone/kernels", _attn_implementation="someone/kernels"
    )
    assert chosen() == before in ("sdpa", "eager")
