from dataclasses import replace

from seediff.cli.main import main
from seediff.config.runs import GenerateConfig
from seediff.models.describe import describe_model
from seediff.run import loop
from seediff.run import plan as plans
from seediff.run.generate_job import GenerateJob


def test_a_disk_that_is_too_small_for_the_attention_maps(tmp_path, monkeypatch, capsys):
    line = f"generate --classes dog --per-class 50 --out {tmp_path}/o --dry-run --keep-attention --device cpu".split()
    for free, said in ((10**6, True), (10**12, False)):
        monkeypatch.setattr(loop, "free_bytes", lambda _, free=free: free)
        assert main(line) == 0
        text = capsys.readouterr().out
        assert ("\nThe disk is too small: 50 files of attention maps take about 244.3 MB, and" in text) == said
    monkeypatch.setattr(loop, "free_bytes", lambda _: 10**6)
    job = GenerateJob(GenerateConfig(classes=("dog",), per_class=1, steps=1, keep_attention=True, device="cpu"))
    warned = []
    loop.run(job, tmp_path / "o", warn=warned.append)
    assert [text[:22] for text in warned] == ["The disk is too small:"]


def test_what_is_on_this_machine_is_not_downloaded():
    """Weights of a hub's model in the cache; a folder whose weights nobody can read yet."""
    info = describe_model("mini")
    hub = replace(info, files=replace(info.files, whole="owner/mini"))
    for one, size, here in ((hub, 1000, True), (info, None, True), (hub, None, False)):
        line = plans.model_line(GenerateConfig(("dog",)), one, "none", size)
        assert ("on this machine)" in line, "downloads it" in line) == (here, not here)
