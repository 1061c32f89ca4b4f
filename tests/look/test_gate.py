import socket
import urllib.parse

import pytest
from look_server import running, write_set

from seediff.look.gate import HEADERS, LARGEST, allowed_host


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    with running(write_set(tmp_path_factory.mktemp("gate") / "pets")) as (client, opened):
        yield client, opened


@pytest.mark.parametrize("path", ["/api/set", "/api/samples", "/static/main.js"])
@pytest.mark.parametrize("cookie", ["seediff_look_{port}=wrong", "seediff_look_1={token}"])
def test_nothing_without_the_token(asked, path, cookie):
    client, opened = asked
    headers = {"Cookie": cookie.format(port=client.port, token=opened.token)}
    assert client.ask("GET", path, headers=headers).status == 401
    assert client.ask("GET", f"{path}?token={opened.token}", headers=headers).status == 401  # only at the door


def test_the_token_becomes_a_cookie_that_scripts_and_other_pages_do_not_have(asked):
    client, opened = asked
    answer = client.ask("GET", f"/?token={opened.token}", headers={"Cookie": ""})
    assert answer.status == 200
    assert (
        answer.headers["set-cookie"] == f"seediff_look_{client.port}={opened.token}; HttpOnly; Path=/; SameSite=strict"
    )
    assert opened.token.encode() not in answer.body
    assert (
        client.ask("GET", f"/?token={opened.token}").headers["location"] == "/"
    )  # who is in gets it out of the address
    for wrong in ("", "x", opened.token[:-1], opened.token + "x", "é"):
        refused = client.ask("GET", "/?token=" + urllib.parse.quote(wrong), headers={"Cookie": ""})
        assert (refused.status, "set-cookie" in refused.headers) == (401, False)
        assert b"<form" in refused.body


def test_the_form_asks_for_the_token(asked):
    client, opened = asked
    for body in (b"token=wrong", b"a=1&b=2&c=3&d=4&token=" + opened.token.encode()):
        wrong = client.ask("POST", "/token", body, {"Cookie": ""})
        assert (wrong.status, b"Wrong token" in wrong.body) == (401, True)
    right = client.ask("POST", "/token", f"token={opened.token}".encode(), {"Cookie": ""})
    assert (right.status, opened.token in right.headers["set-cookie"]) == (200, True)
    elsewhere = {"Cookie": "", "Origin": "http://evil.example"}
    assert client.ask("POST", "/token", f"token={opened.token}".encode(), elsewhere).status == 403


def test_the_address_that_a_browser_is_started_with_lets_in_once(tmp_path):
    with running(write_set(tmp_path / "pets")) as (client, opened):
        path = opened.once.partition(str(client.port))[2]
        assert opened.token not in opened.once
        assert "set-cookie" in client.ask("GET", path, headers={"Cookie": ""}).headers
        assert client.ask("GET", path, headers={"Cookie": ""}).status == 401


@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1.evil.example", ""])
def test_other_names_of_the_server_are_refused(asked, host):
    client, _ = asked
    name = host.format(port=client.port)
    with socket.create_connection(("127.0.0.1", client.port), 10) as connection:
        connection.sendall(
            f"GET /api/set HTTP/1.1\r\nHost: {name}\r\nCookie: {client.cookie}\r\nConnection: close\r\n\r\n".encode()
        )
        assert connection.makefile("rb").readline().split()[1] in (b"421", b"400")


def test_names_of_this_machine():
    for name in ("127.0.0.1:80", "localhost", "LOCALHOST:9", "[::1]:8765"):
        assert allowed_host(name, "127.0.0.1")
    assert not allowed_host("192.168.1.5:80", "127.0.0.1")
    assert not allowed_host(f"{socket.gethostname()}:80", "127.0.0.1") or socket.gethostname() == "localhost"
    assert allowed_host("192.168.1.5:80", "0.0.0.0")
    assert allowed_host(socket.gethostname(), "0.0.0.0") or "_" in socket.gethostname()
    assert not allowed_host("evil.example", "0.0.0.0")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", ""]
)
def test_pages_of_others_change_nothing(asked, origin):
    client, opened = asked
    body = b'{"action": "accept", "version": 0}'
    answer = client.ask("POST", "/api/act", body, {"Origin": origin.format(port=client.port)})
    assert answer.status == 403
    assert client.ask("POST", "/api/act", body, {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert opened.store.acted == 0


@pytest.mark.parametrize("path", ["/api/samples/0/labels?tool=brush&version=0", "/token"])
def test_a_hundred_megabytes_are_not_read(asked, path):
    client, _ = asked
    with socket.create_connection(("127.0.0.1", client.port), 10) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nCookie: {client.cookie}\r\n"
        connection.sendall(
            f"{head}Content-Length: {100 << 20}\r\n\r\n".encode()
        )  # and no byte of it: the answer comes at once
        assert connection.makefile("rb").readline().split()[1] == b"413"
    with socket.create_connection(("127.0.0.1", client.port), 10) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())  # of a length that is not told
        sent = 0
        try:
            for _ in range(800):
                connection.sendall(b"20000\r\n" + b"x" * (1 << 17) + b"\r\n")
                sent += 1 << 17
        except OSError:  # closed while we were talking
            pass
        else:
            pytest.fail("all was taken")
    assert sent < LARGEST + (16 << 20)  # but for what lies in buffers on the way


def test_unpacked_it_is_no_larger_than_the_image(asked):
    import zlib

    client, opened = asked
    bomb = zlib.compress(bytes(64 << 20))
    for body in (bomb, zlib.compress(bytes(64 * 64)) + b"more", zlib.compress(bytes(64 * 64))[:-1]):
        answer = client.ask("POST", "/api/samples/0/labels?tool=brush&version=0", body)
        assert "must have 64 × 64 bytes" in answer.json["refused"]["0"]
        assert opened.store.acted == 0


PATHS = """/api/samples/6 /api/samples/6/thumb /api/samples/6/labels /api/samples/6/pieces /api/samples/6/attention
    /api/samples/-1 /api/samples/%D9%A1/image /api/samples/99999999999999999999 /static/../gate.py /images/000000.png
    /api/samples/..%2f..%2fetc%2fpasswd/image /static/%2e%2e/gate.py /static//etc/passwd"""


def test_no_path_leads_anywhere(asked):
    assert {path for path in PATHS.split() if asked[0].ask("GET", path).status not in (400, 404)} == set()


def test_a_request_about_too_many_samples_is_refused_at_once(asked):
    answer = asked[0].post("/api/act", {"action": "accept", "samples": [(n, 0) for n in range(1001)]})
    assert (answer.status, b"must be a list of length <= 1000" in answer.body) == (400, True), answer.body


def test_every_answer_says_what_the_page_may_do(asked):
    client, _ = asked
    for path in ("/", "/api/set", "/api/samples/0/image", "/none", "/static/main.js"):
        answer = client.ask("GET", path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    assert "unsafe" not in HEADERS["content-security-policy"]
    page = client.ask("GET", "/").body.decode()
    assert "style=" not in page
    assert " on" + "click" not in page
