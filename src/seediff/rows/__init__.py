"""What is known of a labelled picture: its row of metadata.jsonl.

row.py      `Row`, in which each key of a row is declared
flags.py    the flags of masks that may be wrong, in words; masks/make_masks.py decides when they are raised
shown.py    the classes that a label map shows
parts.py    the splits that the names of a set's parts mean
"""
