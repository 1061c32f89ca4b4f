import subprocess
import sys
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
import pytest

from seediff.errors import UserError
from seediff.files.documents import fit


@dataclass(frozen=True)
class Part:
    name: str
    size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


@dataclass(frozen=True)
class Whole:
    kind: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    pair: tuple[float, float] = (0.0, 0.0)
    share: dict[str, float] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    limit: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self):
        if len(self.words) > 3:
            raise UserError(f"{len(self.words)} words are more than 3")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "must be an object, not a whole number"),
        ({"kind": "c"}, "`kind`: Invalid enum value 'c'"),
        ({"words": list("abcd")}, "4 words are more than 3"),
        ({"pair": [1]}, "`pair`: must be a list of length 2, not 1"),
        ({"share": {"dog": True}}, "`share[...]`: must be a number, not true or false"),
        ({"parts": [{"name": "x", "size": 0}]}, "`parts[0].size`: must be a whole number >= 1"),
        ({"limit": 0}, "`limit`: must be a number > 0"),
        ({"kind": "\x1b[31m" + "x" * 1000}, "`kind`: Invalid enum value '\\x1b[31m"),
    ],
)
def test_message_names_place_value_and_what_should_be(value, said):
    with pytest.raises(UserError) as caught:
        fit(value, Whole, "set.toml")
    assert str(caught.value).startswith(f"set.toml: {said}")
    assert len(str(caught.value)) < 400


THREADS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field, make_dataclass
from seediff.files.documents import fit

def work(kind, gate):
    gate.wait()
    fit({}, kind, "here")

sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(8) as pool:
    for number in range(60):
        names = [(f"a{i}", dict[str, float], field(default_factory=dict)) for i in range(20)]
        part = make_dataclass(f"Part{number}", names)
        kind = make_dataclass(f"Whole{number}", [(f"b{i}", list[part], field(default_factory=list)) for i in range(20)])
        gate = threading.Barrier(8)
        for one in [pool.submit(work, kind, gate) for _ in range(8)]:
            one.result()
"""


def test_threads_that_meet_a_type_for_the_first_time():
    """msgspec 0.22 itself ends the process then."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
