"""Kill the server of `seediff look` at random moments while somebody reviews as fast as it answers: is all that it answered on the disk?

    python benchmarks/look_kills.py --kills 24
    python benchmarks/look_kills.py --kills 24 --reviewers 4 --seed 1

One set goes through all kills. Each time a server is started, so many reviewers accept, relabel, paint, join, undo and redo, and SIGKILL
comes after a random number of answers and of milliseconds. Then, before anything is mended: every answered action must be in review.jsonl,
every line but the last must be whole, each mask that is in effect must be there with the SHA-256 that its line says, and no more lines may
have come than reviewers were waiting. The next start must go on from there. `seediff check` looks at the end. Exit code 1: something is not
so. Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from look import Running, write_many

from seediff.dataset import native
from seediff.dataset.reviews import REVIEWED, REVIEWS, in_effect, read_actions
from seediff.files.outputs import LEFTOVER

SAMPLES = 40
ACTIONS = ("accept", "reject", "relabel", "paint", "join", "undo", "redo")


@dataclass
class Told:
    """What servers answered. versions: sample → the version that an answer named. lines: how many answers said that something was saved."""

    versions: dict[int, int] = field(default_factory=dict)
    answers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def review(server: Running, numbers: list[int], rng: random.Random, told: Told) -> None:
    """Act on samples, one reviewer's own, until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection.request(method, path, body, server.headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    try:
        while True:
            number, action = rng.choice(numbers), rng.choice(ACTIONS)
            version = json.loads(ask("GET", f"/api/samples/{number}")[1])["version"]
            if action == "paint":
                left = rng.randrange(40)
                labels = np.zeros((64, 64), np.uint8)
                labels[:20, left : left + 9] = labels[30:50, left : left + 9] = 1 + rng.randrange(3)
                status, data = ask("POST", f"/api/samples/{number}/labels?tool=brush&version={version}", zlib.compress(labels.tobytes()))
            else:
                more = {"relabel": {"old": 1 + rng.randrange(3), "new": 1 + rng.randrange(3)}, "join": {"pixels": [[30, 10], [30, 40]]}}
                body = json.dumps({"action": action, "version": version, **more.get(action, {})})
                status, data = ask("POST", f"/api/samples/{number}/act", body.encode())
            if status == 200:  # others cannot be done, such as an undo at the beginning
                with told.lock:
                    told.versions[number] = json.loads(data)["version"]
                    told.answers += 1
    except (OSError, http.client.HTTPException, ValueError):  # killed
        pass


def wrong_after(folder: Path, told: Told, reviewers: int) -> list[str]:
    """What is not as it should be in a set whose server was just killed."""
    found = []
    for line in (folder / REVIEWS).read_bytes().split(b"\n")[:-1]:
        try:
            json.loads(line)
        except ValueError:
            found.append(f"a line that is not the last is {line[:60]!r}")
    lines, last = read_actions(folder), in_effect(folder)
    names = list(dict.fromkeys(native.sample_name(row["file_name"]) for row in native.read_rows(folder)))
    for number, version in told.versions.items():
        kept = last[names[number]].version if names[number] in last else 0
        if kept < version:
            found.append(f"sample {number}: version {version} was answered, {kept} is on the disk")
    if not told.answers <= len(lines) <= told.answers + reviewers:
        found.append(f"{told.answers} answers, but {len(lines)} lines")
    for action in last.values():
        if action.mask:
            data = (folder / action.mask).read_bytes() if (folder / action.mask).is_file() else b""
            if hashlib.sha256(data).hexdigest() != action.hash:
                found.append(f"{action.mask} is not the one that its line says")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--reviewers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, told, wrong = random.Random(given.seed), Told(), []
    cut = beyond = leftovers = 0
    with tempfile.TemporaryDirectory() as scratch:
        write_many(folder := Path(scratch) / "set", SAMPLES)
        for kill in range(given.kills):
            with Running(folder) as server:
                if kill and (state := json.loads(server.ask("/api/samples/0"))["version"]) < told.versions.get(0, 0):
                    wrong.append(f"kill {kill}: sample 0 came back as version {state}")
                told.answers = len(read_actions(folder))  # a line may have come whose answer did not
                before, threads = told.answers, []
                for reviewer in range(given.reviewers):
                    numbers = list(range(reviewer, SAMPLES, given.reviewers))
                    own = random.Random(rng.random())
                    threads.append(threading.Thread(target=review, args=(server, numbers, own, told)))
                    threads[-1].start()
                wanted, until = before + rng.randrange(1, 60), time.monotonic() + 60
                while told.answers < wanted and time.monotonic() < until:
                    time.sleep(0.0005)
                time.sleep(rng.random() * 0.02)
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                for thread in threads:
                    thread.join(60)
            wrong += [f"kill {kill}: {text}" for text in wrong_after(folder, told, given.reviewers)]
            data = (folder / REVIEWS).read_bytes()
            cut += not data.endswith(b"\n")
            beyond += len(read_actions(folder)) - told.answers
            leftovers += sum(bool(LEFTOVER.fullmatch(path.name)) for path in folder.rglob("*"))
        with Running(folder):
            pass  # mends what the last kill left
        checked = subprocess.run([sys.executable, "-m", "seediff", "check", str(folder)], capture_output=True, text=True)
        actions, masks = len(read_actions(folder)), sum(path.is_file() for path in (folder / REVIEWED).rglob("*.png"))
        orphans = masks - len({action.mask for action in read_actions(folder) if action.mask})
        left = [path for path in folder.rglob("*") if LEFTOVER.fullmatch(path.name)]
        kinds = Counter(action.action for action in read_actions(folder))
    if checked.returncode or re.search(r"\b[1-9]\d* errors?", checked.stdout):
        wrong.append(f"check: {checked.stdout}{checked.stderr}")
    print(f"{given.kills} kills, {given.reviewers} reviewers, seed {given.seed}: {actions} actions saved, {masks} masks")
    print(", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    print(f"{cut} lines cut off, {beyond} lines whose answer did not come, {orphans} masks without a line, {leftovers} files half-written")
    print(f"after the next start: {len(left)} files half-written; {len(wrong)} things wrong")
    print(*wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
