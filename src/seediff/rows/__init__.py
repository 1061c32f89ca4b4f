"""What is known of a labelled picture: its row of metadata.jsonl.

row.py      `Row`, in which each key of a row is declared
values.py   what keys hold: flags in words (masks/make_masks.py raises them), splits, the classes that a label map shows
"""
