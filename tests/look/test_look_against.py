"""`seediff look SET --against PREDICTED`: predictions beside the masks, the worst first."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from look_server import running, write_set
from PIL import Image
from refusals import user_error

from seediff.drawing.overlays import overlay
from seediff.files.label_maps import IGNORE
from seediff.look.sample_pictures import open_against


def compare(predictions: Path, folder: Path):
    return open_against(predictions, folder, lambda done, total, name: None)


@pytest.fixture
def pets(tmp_path):
    """A set of six, and predictions: the third's are half wrong, the fifth's all."""
    out, predicted = write_set(tmp_path / "pets", 6), tmp_path / "predicted"
    shutil.copytree(out / "masks", predicted)
    for number, share in ((2, 2), (4, 1)):
        path = predicted / f"{number:06}.png"
        labels = np.array(Image.open(path))
        labels[: len(labels) // share] = 0
        mask = Image.fromarray(labels)
        mask.putpalette(Image.open(out / "masks/000000.png").getpalette() or [])
        mask.save(path)
    return out, predicted


def test_the_worst_come_first_beside_their_predictions(pets):
    out, predicted = pets
    with running(out, against=compare(predicted, out)) as (client, opened):
        assert client.get("/api/set")["against"]
        scores = [client.get(f"/api/samples/{number}")["miou"] for number in range(6)]
        assert scores[4] < scores[2] < 1
        assert scores[0] == 1
        shown = np.asarray(Image.open(io.BytesIO(client.ask("GET", "/api/samples/2/predicted").body)))
        labels = np.array(Image.open(predicted / "000002.png"))
        assert np.array_equal(shown, overlay(opened.store.samples[2].image, labels))
    assert np.array_equal(np.array(Image.open(predicted / "000002.png")), labels)


def test_a_sample_without_a_pixel_to_score_has_no_score(pets):
    out, predicted = pets
    mask = Image.open(out / "masks/000003.png")
    ignored = Image.new("P", mask.size, IGNORE)
    ignored.putpalette(mask.getpalette() or [])
    ignored.save(out / "masks/000003.png")
    with running(out, against=compare(predicted, out)) as (client, _):
        assert client.get("/api/samples/3")["miou"] is None


def test_without_predictions_there_are_none(pets):
    with running(pets[0]) as (client, _):
        assert not client.get("/api/set")["against"]
        assert client.get("/api/samples/0")["miou"] is None
        assert "--against" in client.ask("GET", "/api/samples/0/predicted").json["error"]


def test_names_and_sizes_that_do_not_match_are_refused(pets):
    out, predicted = pets
    Image.open(predicted / "000001.png").resize((8, 8)).save(predicted / "000001.png")
    with user_error(r"000001: .*\(8, 8\)"):
        compare(predicted, out)
    (predicted / "000001.png").unlink()
    with user_error("has no prediction for 1 of 6 images: 000001"):
        compare(predicted, out)
