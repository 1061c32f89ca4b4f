import http.client
import re
import signal
import socket

import pytest
from look_server import running, start, write_set
from patience import PATIENCE

from seediff.cli.main import main
from seediff.dataset.reviews import REVIEWS


@pytest.fixture
def pets(tmp_path):
    return write_set(tmp_path / "pets", 40)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 0, marks=pytest.mark.slow)]
)
def test_it_ends_at_once_whoever_listens(pets, number, code, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    run, client = start(pets)
    client.act(0, "accept", 0)
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=PATIENCE)
    connection.request("GET", "/api/samples/0/attention", headers={"Cookie": client.cookie})  # imports for seconds
    run.send_signal(number)
    out, error = run.communicate(timeout=PATIENCE)
    connection.close()
    assert run.returncode == code
    assert f"ended; 1 action saved in {pets / REVIEWS}" in (out + error).lower().replace(str(pets).lower(), str(pets))
    assert not {"Traceback", "terminate"} & {*error.split()}
    assert f"in Colab no browser reaches this address; show {pets / 'preview.html'}" in error
    assert not (pets / ".lock").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "no-name.invalid"], "cannot be used at no-name.invalid .*name another port or host, or none"),
        (["--host", "e\u0301..y"], "cannot be used at e\u0301..y"),
        (["--port", "70000"], '"70000" for --port'),
        (["--port", "taken"], r"--port.* \d+:? cannot be used at 127\.0\.0\.1 \(Address already in use .*; name"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(pets, options, said, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        options = [str(taken.getsockname()[1]) if one == "taken" else one for one in options]
        assert main(["look", str(pets), "--no-browser", *options]) == 2
    assert re.fullmatch(f"seediff: .*{said}.*\n", capsys.readouterr().err)
    assert not (pets / ".lock").exists()


def test_a_second_page_of_a_set_is_refused_until_the_first_ends(pets, capsys):
    run, client = start(pets)
    client.act(0, "accept", 0)
    for command in (["look", str(pets), "--no-browser"], ["split", str(pets), "--in-place"]):
        assert main(command) == 2
        page = f"open in `seediff look` at http://127.0.0.1:{client.port}/ (process {run.pid})"
        fix = "use that page, or end it with Ctrl-C where it was started"
        assert capsys.readouterr().err == f"seediff: {pets}: {page}; {fix}\n"
    assert client.act(0, "reject", 1).json["verdict"] == "rejected"
    run.kill()
    run.communicate(timeout=PATIENCE)
    with running(pets) as (second, opened):
        assert opened.store.state(0).version == 2
        assert second.act(0, "accept", 2).json["verdict"] == "accepted"
