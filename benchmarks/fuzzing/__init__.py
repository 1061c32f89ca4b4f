"""Damaged and hostile inputs for every command: `benchmarks/fuzz.py` runs them.

commands.py  the commands and what they take          seeds.py     valid inputs of all kinds, tiny
cases.py     a case as data, and the corpus           generate.py  new cases, drawn by hypothesis, with the help of damage.py
sandbox.py   a case in a forked child, with limits    faults.py    decides what is a fault in a case's outcome
signals.py   signals to running commands, for `benchmarks/kills.py`
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that recipes/ can be imported
