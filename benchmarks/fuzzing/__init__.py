"""Damaged and hostile inputs for every command, made from a seed: `benchmarks/fuzz.py` runs them.

seeds.py     valid inputs of all kinds, tiny          mutations.py  what is done to them: edits of their files, chosen from a seed
commands.py  the commands and what they take          edits.py      one change of a file, as data: a case is a command and its edits
runner.py    a case in a forked child, with limits    oracle.py     what is a fault in what it left behind
report.py    tables, and a text of each fault         corpus.py     cases that failed once, as small files
"""
