"""What is said of pictures that the embedded model did not draw."""

from items import noise_pixels, rows_of
from PIL import Image
from refusals import refused

from seediff.cli.main import main
from seediff.config.runs import GenerateConfig
from seediff.models.short_names import EMBEDDED
from seediff.run.generate_job import GenerateJob
from seediff.run.job import Ready

DOUBT = "model 'mini' knows its own emoji art alone"


def test_photographs_need_a_named_model_and_mini_says_what_it_is_for(tmp_path, capsys, monkeypatch, mini_folder):
    monkeypatch.setitem(EMBEDDED, "mini", mini_folder)
    texture = noise_pixels(96, 128)
    (tmp_path / "photos").mkdir()
    Image.fromarray(texture).save(tmp_path / "photos" / "a.png")
    line = f"{tmp_path}/photos --device cpu --out".split()
    mask = ["mask", *line, str(tmp_path / "masked"), *"--classes dog --timesteps 100 --presence 0".split()]
    for given in (mask, ["segment", *line, str(tmp_path / "segments")]):
        said = "photographs need a real model, such as --model sd1.5, the smallest (a download of 2.1 GB for a GPU"
        assert said in refused(capsys, *given)

    assert main([*mask, "--model", "mini"]) == 0
    out, err = capsys.readouterr()
    assert (out + err).count(DOUBT) == 1  # once a process
    assert rows_of(tmp_path / "masked")[0]["flags"] == ["degenerate:dog"]  # of the narrow model, and no other
    assert "knows its own emoji art alone" in (tmp_path / "masked" / "preview.html").read_text("utf-8")

    assert main(mask) == 0  # the folder names the model


def test_the_steps_of_a_drawing_are_reported(mini_model):
    job, said = GenerateJob(GenerateConfig(classes=("dog",), steps=2, device="cpu")), []
    ready = Ready(model=mini_model, plan=job.plan(mini_model), say=said.append)
    job.draw_batch(ready, job.items()[:1])
    assert said == ["step 1 of 2", "step 2 of 2"]
