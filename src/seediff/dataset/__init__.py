"""Datasets: samples with label maps, in memory and on disk.

dataset.py, sample.py, rows.py    `Dataset`, `Sample`, and the rows of metadata.jsonl
native.py, saving.py    reads and writes the folder that `generate` and `mask` make
reviews.py    people's decisions about samples
encoding.py, shapes/    pictures and label maps as bytes; run lengths, polygons and objects instead of pixels
formats/    every other format
class_lists.py, stored_masks.py    what values, colours and names in foreign files mean, and masks read by it
importing.py, corrections.py    native datasets from other formats and from corrected masks
truths.py    labelled sets to compare with
merge.py, split.py, operations.py, augmented.py    datasets from datasets
quality/    checks, statistics and selection
torch_samples.py    a dataset for PyTorch
"""
