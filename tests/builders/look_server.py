"""A small dataset for `seediff look`, a server that shows it, and a client that asks the server over a real
connection.
"""

import http.client
import json
import re
import subprocess
import sys
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from items import write_rows
from patience import PATIENCE
from random_maps import random_maps
from synthetic import write_dataset

from seediff.dataset import native

CLASSES = ("dog", "cat", "potted plant")


def write_set(
    out,
    count=6,
    classes=CLASSES,
    *,
    side=64,
    changes=(),
):
    """Write a finished native dataset of discs. changes: fields to change in the first rows."""
    rows = write_dataset(out, count, classes, side)
    for row in rows:
        row["class_ids"] = [classes.index(name) + 1 for name in row["classes"]]
        row["area"] = {name: round(share, 6) for name, share in row["area"].items()}
    for row, change in zip(rows, changes, strict=False):
        row.update(change)
    (out / native.CLASSES).write_bytes(native.classes_text(classes))
    write_rows(out, rows)
    return out


def keep_attention(out, names, words=None):
    """Write random attention for some samples. words: class → columns; by default a dog of one token and a cat of
    two.
    """
    (out / native.ATTENTION).mkdir(exist_ok=True)
    for number, name in enumerate(names):
        maps = random_maps(16, seed=number)
        found = replace(maps, words=words or maps.words)
        found.save(out / native.ATTENTION / f"{name}.safetensors")


@dataclass
class Asked:
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def labels(self):
        """(H, W): the compressed label map in the answer."""
        import gzip

        data = gzip.decompress(self.body)
        shape = int(self.headers["x-height"]), int(self.headers["x-width"])
        return np.frombuffer(data, np.uint8 if len(data) == shape[0] * shape[1] else np.uint16).reshape(shape)


@dataclass
class Client:
    """A client that has the token, unless `cookie` is emptied."""

    port: int
    token: str
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        own = {"Cookie": self.cookie} if self.cookie else {}
        if method == "POST":
            own["Origin"] = f"http://127.0.0.1:{self.port}"
        merged = {**own, **self.headers, **(headers or {})}
        try:
            connection.request(method, path, body, {name: value for name, value in merged.items() if value})
            answer = connection.getresponse()
            return Asked(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    def post(self, path, body):
        return self.ask("POST", path, json.dumps(body).encode())

    def act(self, number, action, version, **more):
        return only(version, self.post("/api/act", {"action": action, "samples": [(number, version)], **more}))

    def paint(self, number, labels, version):
        address = f"/api/samples/{number}/labels?tool=brush&version={version}"
        return only(version, self.ask("POST", address, zlib.compress(labels.tobytes())))

    def labels(self, number):
        return self.ask("GET", f"/api/samples/{number}/labels").labels


def only(version, answer):
    """The state of the only sample that was to change; status 409 if another window was faster, 400 if it could not."""
    if answer.status != 200:
        return answer
    (state,), refused = answer.json["samples"], answer.json["refused"]
    why = refused.get(str(state["index"]))
    status = (400 if state["version"] == version else 409) if why else 200
    return Asked(status, answer.headers, json.dumps({**state, **({"error": why} if why else {})}).encode())


@contextmanager
def running(path, **options):
    """Run a server on a dataset in a thread of this process; gives a client that has the token, and the opened
    dataset.
    """
    from seediff.look.serve import serve

    with serve(path, by="ann", **options) as opened:
        thread = threading.Thread(target=opened.run, daemon=True)
        thread.start()
        port = opened.listening.getsockname()[1]
        try:
            yield Client(port, opened.token, f"seediff_look_{port}={opened.token}"), opened
        finally:
            opened.server.should_exit = opened.server.force_exit = True
            thread.join(PATIENCE)


def start(folder, *more):
    """Start the command in a separate process; returns the process and a client that has the token."""
    command = [sys.executable, "-m", "seediff", "look", str(folder), "--no-browser", *more]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = run.stdout.readline()
    found = re.search(r"\d+ samples at http://127\.0\.0\.1:(\d+)/\?token=(\S+) \(Ctrl-C ends it\)", line)
    assert found, line
    return run, Client(int(found[1]), found[2], f"seediff_look_{found[1]}={found[2]}")
