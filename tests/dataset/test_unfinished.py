import pytest
from items import item

from seediff.cli.main import main
from seediff.dataset import native
from seediff.dataset.native import check_finished
from seediff.dataset.saving import save_native

COMMANDS = [
    ["check"],
    "export --to voc --out exported".split(),
    "filter --drop-flags all --out good".split(),
]
"""Each with the options behind its folder."""


@pytest.fixture
def stopped(tmp_path):
    """What a stopped run of `mask` leaves."""
    folder = tmp_path / "pets"
    for name in (".batches", native.IMAGES, native.MASKS):
        (folder / name).mkdir(parents=True)
    (folder / native.CONFIG).write_text('command = "mask"\n')
    (folder / ".batches" / "000000.json").write_text("{}")
    return folder


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_commands_say_that_the_run_is_not_finished(stopped, monkeypatch, capsys, words):
    monkeypatch.chdir(stopped.parent)
    before = sorted(stopped.parent.rglob("*"))
    assert main([words[0], "pets", *words[1:]]) == 2
    assert (
        capsys.readouterr().err
        == "seediff: pets: the run that makes it is not finished; run the same command to continue it\n"
    )
    assert sorted(stopped.parent.rglob("*")) == before


def test_a_run_that_was_stopped_while_it_tidied_up_is_finished(tmp_path):
    save_native(tmp_path / "pets", ("dog",), [item("0", shape=(16, 16))], about={})
    (tmp_path / "pets" / ".batches").mkdir()
    check_finished(tmp_path / "pets")
