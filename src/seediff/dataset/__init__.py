"""Datasets: samples with label maps, in memory and on disk.

dataset.py, sample.py, rows.py    `Dataset`, `Sample`, and the rows of metadata.jsonl
native.py, reviews.py    the folder that `generate` and `mask` write, and decisions about samples
encoding.py, shapes/    pictures and label maps as bytes; runs, polygons and objects instead of pixels
formats/    every other format; class_lists.py: what its values and names mean; importing.py, corrections.py: other
    formats and corrected masks become native sets
truths.py    labelled sets to compare with
merge.py, split.py, operations.py, augmented.py, quality/    sets from sets; checks, statistics and selection
saving.py, torch_samples.py    a dataset as a native folder with card and page, and for PyTorch
"""
