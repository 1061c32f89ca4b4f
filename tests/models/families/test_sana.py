from PIL import Image

from seediff.cli.main import main


def test_methods_that_need_self_attention_say_so(folder, model, tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(photo := tmp_path / "photo.png")
    segment = ["segment", str(photo)]
    for line in ("generate --classes dog --method seediff".split(), [*segment, "--method", "diffcut"], segment):
        assert (
            main([*line, "--model", str(folder), "--out", str(tmp_path / "out"), "--device", "cpu", "--dry-run"]) == 2
        )
        said = capsys.readouterr().err
        assert "self-attention, and Sana has no maps of it: its self-attention is linear, which has no map" in said
