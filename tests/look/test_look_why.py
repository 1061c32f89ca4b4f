import base64
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fake_engine import fake_draw
from items import edit_row
from look_server import keep_attention, only, running, write_set
from random_maps import random_maps

from seediff.config.resolve import configure_run
from seediff.config.runs import GenerateConfig
from seediff.dataset import native
from seediff.dataset.check import check_dataset
from seediff.dataset.dataset import Dataset
from seediff.dataset.reviews import read_actions
from seediff.dataset.sample import CONFIGS
from seediff.look import attention_answers
from seediff.look.attention import Moved, constants_of
from seediff.run.generate_job import generate

CONFIG = GenerateConfig(
    classes=("dog", "cat", "bus"), per_class=2, batch_size=3, classes_per_image=2, reject=False, keep_attention=True
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A dataset of `generate` that kept its attention."""
    out = tmp_path_factory.mktemp("why") / "drawn"
    generate(CONFIG, out, draw=fake_draw)
    return out


@pytest.fixture
def copied(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "drawn")


def check_explained(folder):
    """What the page begins with makes the mask that is there."""
    with running(folder) as (client, opened):
        for number in range(len(opened.store.samples)):
            about = client.get(f"/api/samples/{number}/attention")
            assert about["note"] == ""
            made = client.ask("GET", f"/api/samples/{number}/tuned?method={about['method']}")
            np.testing.assert_array_equal(made.labels, opened.store.labels(opened.store.state(number)))


def capture_again(folder, monkeypatch):
    """Attention that was not kept is that of the run, when the model has run again."""
    with running(folder) as (client, _):
        kept = client.get("/api/samples/1/attends?x=30&y=40")
    shutil.rmtree(folder / native.ATTENTION)
    with running(folder) as (client, _):
        assert client.get("/api/samples/1/attention")["quick"]  # the model is small
        monkeypatch.setattr(attention_answers, "QUICK", 0)
        about = client.get("/api/samples/1/attention")
        assert about["canCapture"]
        assert "to recompute them, its model must run" in about["note"]
        assert client.post("/api/samples/1/capture", {}).json["note"] == ""
        assert client.get("/api/samples/1/attends?x=30&y=40") == kept


@pytest.mark.slow
def test_a_filtered_split_or_merged_set_knows_what_made_each_mask(copied, tmp_path):
    """The sets that are merged were made with different constants, and one of them is a part of another."""
    other = replace(CONFIG, mask=replace(CONFIG.mask, method="ca_sa", beta=0.6), seed=5)
    generate(other, tmp_path / "other", draw=fake_draw)
    Dataset.open(copied).filter(min_area=0.0001).save(tmp_path / "filtered")
    train = Dataset.open(tmp_path / "other").split(val=0.4)[0]
    train.save(tmp_path / "train", link=True)
    Dataset.open(tmp_path / "filtered").merge(Dataset.open(tmp_path / "train"), Dataset.open(copied)).save(
        tmp_path / "merged"
    )
    assert {len(list((tmp_path / name / CONFIGS).iterdir())) for name in ("filtered", "train")} == {1}
    assert len(list((tmp_path / "merged" / CONFIGS).iterdir())) == 2
    for name in ("filtered", "train", "merged"):
        check_explained(tmp_path / name)
    assert {finding.kind for finding in check_dataset(tmp_path / "merged").findings} <= {"duplicate", "empty", "near"}


def test_a_mask_that_was_made_on_the_page_or_by_a_person_is_explained_as_that(copied, tmp_path):
    with running(copied) as (client, _):
        client.post("/api/masks", {"beta": 0.7, "method": "ca_sa", "samples": [(2, 0)]})
        client.act(2, "accept", 1)
        about = client.get("/api/samples/2/attention")
        constants = about["constants"]
        assert (about["method"], constants["ca_sa"]["beta"]) == ("ca_sa", 0.7)
        client.paint(1, np.ones((32, 32), np.uint8), 0)
        assert "This mask was changed" in client.get("/api/samples/1/attention")["note"]
        client.act(1, "undo", 1, to={"1": 0})
    check_explained(copied)
    Dataset.open(copied).save(tmp_path / "saved")
    check_explained(tmp_path / "saved")
    with running(tmp_path / "saved") as (client, _):
        assert client.get("/api/samples/2/attention")["constants"] == constants
        client.paint(2, np.ones((32, 32), np.uint8), 0)
    Dataset.open(tmp_path / "saved").save(tmp_path / "again")
    with running(tmp_path / "again") as (client, _):
        assert "This mask was changed" in client.get("/api/samples/2/attention")["note"]


def test_masks_of_a_jpeg_are_made_of_its_file(tmp_path):
    generate(replace(CONFIG, image_format="jpg"), tmp_path, draw=fake_draw)
    check_explained(tmp_path)


OWN = [{"mask.method": name} for name in ("seediff", "ca", "ca_sa", "daam")]
OWN += [{"capture.normalize": False}, {"mask.beta": "otsu"}, {"mask.ignore_band": (0.5, 0.6)}]
TYPED = {"classes": ("dog", "cat"), "model": "mini", "classes_per_image": 2, "per_class": 1, "reject": False, "seed": 2}


def of_generate(**typed):
    return configure_run(GenerateConfig, {**TYPED, "keep_attention": True, **typed})[0]


@pytest.mark.parametrize("own", OWN, ids=str)
def test_what_nobody_moved_is_the_rows_or_what_generate_takes(tmp_path, own):
    """Each method in a set of each other one."""
    config = of_generate(**own)

    def draw(specs):
        images, maps = fake_draw(specs)
        return images, [replace(one, normalized=config.capture.normalize) for one in maps]

    generate(config, tmp_path, draw=draw)
    with running(tmp_path) as (client, opened):
        about = client.get("/api/samples/0/attention")
        assert ("daam" in about["constants"]) is not config.capture.normalize
        for method, shown in about["constants"].items():
            takes = of_generate(**{"mask.method": method}).mask
            if method == config.method:
                takes = config.mask
            threshold = "0.5–0.6" if takes.ignore_band else takes.beta
            alpha = takes.alpha if method == "seediff" else None
            assert shown == {"alpha": alpha, "beta": threshold, "pamr": takes.pamr}
            for moved in ({}, {"pamr": False}, {"beta": 0.6, "ignore_band": None}):
                sent = Moved(method=method, pamr=moved.get("pamr"), beta=moved.get("beta"))
                found = constants_of(opened.store, opened.store.state(0), sent)
                assert found == replace(takes, **moved)
    check_explained(tmp_path)


def test_masks_of_photos_are_made_as_mask_makes_them(tmp_path, mini_folder, monkeypatch):
    from PIL import Image

    from seediff.config.runs import MaskPhotosConfig
    from seediff.files.photo_files import find_photos
    from seediff.run.mask_job import mask_photos

    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number, size in enumerate([(90, 60), (50, 80), (64, 64)]):
        Image.fromarray(rng.integers(0, 255, (*size, 3)).astype(np.uint8)).save(tmp_path / f"photos/{number + 7}.png")
    config = MaskPhotosConfig(
        classes=("dog", "cat"), model=str(mini_folder), presence=0.0, fit="crop", keep_attention=True, timesteps=(300,)
    )
    out = tmp_path / "masks"
    mask_photos(config, find_photos(tmp_path / "photos").photos, out)
    check_explained(out)
    capture_again(out, monkeypatch)


def test_a_drawing_is_drawn_again_for_its_attention(tmp_path, mini_folder, monkeypatch):
    config = GenerateConfig(
        ("dog",), per_class=2, model=str(mini_folder), steps=2, seed=3, reject=False, keep_attention=True
    )
    generate(config, tmp_path)
    capture_again(tmp_path, monkeypatch)


def test_a_pixel_and_a_word_attend_where_the_maps_say(tmp_path):
    out = write_set(tmp_path / "pets", 2, ("dog", "cat"))
    keep_attention(out, ["000000"])
    maps = random_maps(16)
    with running(out) as (client, _):
        found = client.get("/api/samples/0/attends?x=33&y=10")["maps"]
        assert [(one["name"], one["height"], one["width"]) for one in found] == [
            ("L", 16, 16),
            ("L/2", 8, 8),
            ("L/4", 4, 4),
        ]
        rows = [
            maps.self_attention[side, side][(10 * side // 64) * side + 33 * side // 64].numpy() for side in (16, 8, 4)
        ]
        word = client.get("/api/samples/0/attends?columns=2,3")["maps"][1]
        mean = maps.cross_attention[8, 8][:, [2, 3]].mean(1).numpy()
        for one, values in zip([*found, word], [*rows, mean], strict=True):
            levels = np.frombuffer(base64.b64decode(one["data"]), np.uint8)
            expected = (values - values.min()) / (values.max() - values.min())
            np.testing.assert_allclose(levels / 255, expected, atol=0.5 / 255 + 1e-6)
        about = client.get("/api/samples/0/attention")
        assert [about["prompt"][one["start"] : one["end"]] for one in about["words"]] == ["cat", "dog"]
        assert [one["columns"] for one in about["words"]] == [[2, 3], [5]]
        for wrong in ("x=64&y=0", "x=-1&y=0", "x=1", "columns=8", "columns=a", "columns="):
            assert client.ask("GET", f"/api/samples/0/attends?{wrong}").status == 400
        for fine, found in [(3, "3"), (-1, "0"), (99, "9")]:  # beyond the coarsest and the finest there are no others
            assert client.ask("GET", f"/api/samples/0/segments?fine={fine}").headers["x-fine"] == found
        assert "words" not in client.get("/api/samples/1/attention")
        assert "no attention maps" in client.ask("GET", "/api/samples/1/attends?x=0&y=0").json["error"]


def test_constants_are_used_for_one_and_for_many_but_not_over_a_person(copied):
    edit_row(copied, 1, review={"verdict": None, "corrected": True})  # by another tool
    with running(copied) as (client, _):
        state = only(0, client.post("/api/masks", {"beta": 0.7, "samples": [(2, 0)]})).json
        assert (state["corrected"], state["made"]) == (False, True)
        assert only(0, client.post("/api/masks", {"beta": 0.7, "samples": [(2, 0)]})).status == 409
        many = {"beta": 0.8, "samples": [(0, 0), (1, 0), (2, 1)], "unreviewed": True}
        refused = client.post("/api/masks", many).json["refused"]
        assert refused == {"0": "", "1": "already reviewed"}  # the first mask is empty, with any constants
    made = {action.sample: action.made for action in read_actions(copied)}
    assert {name: constants["beta"] for name, constants in made.items()} == {"000002": 0.8}
