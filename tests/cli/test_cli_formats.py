import numpy as np
import pytest
from command_line import runner
from formats import EVERY
from interrupted import contents
from items import item
from PIL import Image
from refusals import user_error

from seediff.cli.formats import export_, import_
from seediff.dataset.check import check_dataset
from seediff.dataset.dataset import Dataset
from seediff.dataset.encoding import encode_image
from seediff.dataset.sample import Sample
from seediff.dataset.writing import save_native

run = runner(export_, import_)


@pytest.fixture
def pets(tmp_path):
    rng = np.random.default_rng(0)
    items = []
    for number in range(4):
        labels = np.kron(rng.choice([0, 1, 2, 255], (4, 6)), np.ones((8, 8))).astype(np.uint8)
        image = rng.integers(0, 256, (32, 48, 3), np.uint8)
        items.append(Sample(encode_image(image, "png"), labels, row={"prompt": "p"}, name=f"{number:06d}"))
    save_native(tmp_path / "pets", ("dog", "cat"), items, about={})
    return tmp_path / "pets"


@pytest.mark.slow
def test_other_workers_the_same_bytes_and_notes(pets, tmp_path, capsys):
    made, said = [], []
    for workers in ("1", "2"):
        out = tmp_path / workers
        run(f"export {pets} --to coco --out {out} --workers {workers} --polygons --min-area 70")
        made.append(contents(out))
        said.append(capsys.readouterr().out.partition("\n")[2].replace(str(out), "OUT"))
    assert made[0] == made[1]
    assert said[0] == said[1]


def test_what_a_format_does_not_have_is_refused(pets, tmp_path):
    with user_error("--polygons is not an option of --to voc; it has --link, --split, --seed"):
        run(f"export {pets} --to voc --out {tmp_path}/voc --polygons")
    with user_error("--classes is not an option of --from coco; it has --split, --images, --crowds"):
        run(f"import {pets} --from coco --out {tmp_path}/x --classes a")
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_an_import_without_an_object_is_an_error(tmp_path, pets):
    """Whoever imports labels and gets none has named the wrong folder; what a person emptied comes back as it is."""
    empty = [item(f"{i:06d}", np.full((32, 48), 255 * (i == 1), np.uint8), shape=(32, 48)) for i in range(4)]
    Dataset(("dog", "cat"), empty).export("coco", tmp_path / "empty")
    with user_error(
        r"empty: has 4 images but no object, only background \(0\) or ignored \(255\); 3 of 4 .*; nothing was written"
    ):
        run(f"import {tmp_path}/empty --from coco --out {tmp_path}/out")
    assert not (tmp_path / "out").exists()
    run(f"import {tmp_path}/empty --from coco --out {tmp_path}/out --corrects {pets} --quiet")


@pytest.mark.parametrize(("folder", "workers"), [("images", 1), pytest.param("masks", 2, marks=pytest.mark.slow)])
def test_a_picture_that_is_cut_off_is_not_copied(pets, tmp_path, folder, workers):
    path = pets / folder / "000002.png"
    path.write_bytes(path.read_bytes()[:60])
    for name in EVERY if workers == 1 else ("coco",):
        with user_error(r"000002\.png: cannot be read as an image"):
            run(f"export {pets} --to {name} --out {tmp_path}/out --workers {workers}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("lines", "values", "said"),
    [
        (
            "Dog / cat / dog",
            [1, 2, 3],
            [
                '"Dog" and "dog" are two classes, though their names mean the same; '
                "`seediff merge SET --rename dog=Dog --out NEW` joins them"
            ],
        ),
        ("traffic light / traffic_light", [1, 2], ['"traffic light" and "traffic_light" are two']),
        ("road / car", [1, 2], []),
    ],
)
def test_doubts_about_classes(tmp_path, capsys, lines, values, said):
    labels = np.array([values], np.uint8)
    (tmp_path / "in/images").mkdir(parents=True)
    (tmp_path / "in/masks").mkdir()
    Image.fromarray(np.zeros((*labels.shape, 3), np.uint8)).save(tmp_path / "in/images/a.png")
    Image.fromarray(labels).save(tmp_path / "in/masks/a.png")
    (tmp_path / "in/classes.txt").write_text(lines.replace(" / ", "\n"))
    run(f"import {tmp_path}/in --from masks --out {tmp_path}/set")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == bool(said)
    assert all(text in notes[0] for text in said)
    warned = [finding.text for finding in check_dataset(tmp_path / "set").findings if finding.kind == "names"]
    assert warned == [note.removeprefix("note: ") for note in notes if " are two classes" in note]
