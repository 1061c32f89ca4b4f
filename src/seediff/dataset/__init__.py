"""Datasets: samples with label maps, in memory and on disk.

dataset.py, sample.py, rows.py    `Dataset`, `Sample`, and the rows of metadata.jsonl
native.py, reviews.py    the folder that `generate` and `mask` write, and people's decisions about samples
encoding.py, shapes/    pictures and label maps as bytes; run lengths, polygons and objects instead of pixels
formats/, class_lists.py    every other format, and what its values and names mean
importing.py, corrections.py    native datasets from other formats and from corrected masks
truths.py    labelled sets to compare with
merge.py, split.py, operations.py, augmented.py    datasets from datasets
quality/    checks, statistics and selection
saving.py, torch_samples.py    a dataset as a native folder with card and page, and for PyTorch
"""
