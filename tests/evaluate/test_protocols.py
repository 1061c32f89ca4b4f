from refusals import user_error

from seediff.dataset.formats.public_sets import CITYSCAPES_CLASSES
from seediff.evaluate.protocols import PROTOCOLS, VOC_WITH_BACKGROUND, comparison_key, own, read_class_map

VOC = dict(enumerate(VOC_WITH_BACKGROUND))
CITYSCAPES = dict(enumerate(CITYSCAPES_CLASSES, 7))


def by_name(protocol, classes, *, truth=True):
    """Name of a class there → name here, `ignored` for 255."""
    one = PROTOCOLS[protocol]
    table = one.truth_table(classes) if truth else one.predicted_table(classes)
    return {name: "ignored" if table[i] == 255 else one.classes[table[i]] for i, name in classes.items()}


def test_human_and_vehicle():
    expected = dict.fromkeys(CITYSCAPES_CLASSES, "background")
    expected |= dict.fromkeys(("person", "rider"), "Human") | dict.fromkeys(("car", "truck", "bus", "train"), "Vehicle")
    ignored = "motorcycle,bicycle,parking,rail track,guard rail,bridge,tunnel,polegroup,caravan,trailer"
    expected |= dict.fromkeys(ignored.split(","), "ignored")
    assert by_name("cityscapes-human-vehicle", CITYSCAPES) == expected
    assert set(PROTOCOLS["cityscapes-human-vehicle"].truth_table(CITYSCAPES)[[0, 6, 34, 255]].tolist()) == {255}
    predicted = by_name("cityscapes-human-vehicle", {0: "background", 1: "human", 2: "vehicle"}, truth=False)
    assert predicted == {"background": "background", "human": "Human", "vehicle": "Vehicle"}
    model = by_name("cityscapes-human-vehicle", VOC, truth=False)
    assert [model[name] for name in ("person", "bus", "dog", "motorbike")] == [
        "Human", "Vehicle", "background", "ignored",
    ]  # fmt: skip


def test_names_are_compared_by_letters_and_usual_other_names():
    assert comparison_key("potted_plant") == comparison_key("Potted Plant") == comparison_key("pottedplant")
    model = {0: "background", 1: "TV", 2: "potted plant", 3: "couch", 4: "airplane", 5: "zebra"}
    found = by_name("voc", model, truth=False)
    assert list(found.values()) == ["background", "tvmonitor", "pottedplant", "sofa", "aeroplane", "background"]


def test_a_class_map(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text('kitty = "cat"\npup = "dog"\n')
    assert (mapped := read_class_map(path)) == {"kitty": "cat", "pup": "dog"}
    model = {0: "background", 1: "pup", 2: "kitty"}
    assert own(("background", "cat", "dog")).predicted_table(model, mapped)[:3].tolist() == [0, 2, 1]
    # Towards a protocol's classes by the data set's names of them.
    assert PROTOCOLS["cityscapes-human-vehicle"].predicted_table({1: "lorry"}, {"lorry": "truck"})[1] == 2


def test_a_map_that_maps_nothing():
    one = own(("background", "cat"))
    with user_error(r"none of its classes \(background, dog\).*--class-map"):
        one.predicted_table({0: "background", 1: "dog"})
    with user_error("'cow' is not a class of the model"):
        one.predicted_table({0: "background", 1: "dog"}, {"cow": "cat"})
    with user_error("'dog' is mapped to 'horse'"):
        one.predicted_table({0: "background", 1: "dog"}, {"dog": "horse"})
    with user_error("none of the classes of protocol camvid"):
        PROTOCOLS["camvid"].truth_table({0: "background", 1: "sofa"})
