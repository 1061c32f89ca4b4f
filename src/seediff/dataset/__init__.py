"""Datasets: samples with label maps, in memory and on disk.

dataset.py, sample.py, rows.py    `Dataset`, `Sample`, and the rows of metadata.jsonl
native.py, saving.py    reads and writes the folder that `generate` and `mask` make
reviews.py    people's decisions about samples
encoding.py    pictures, label maps and objects as files
shapes/    masks as run lengths, polygons and objects
formats/    every other format
class_lists.py, stored_masks.py    what values, colours and names in foreign masks mean
importing.py, corrections.py    native datasets from other formats and from corrected masks
merge.py, split.py, augmented.py    datasets made of datasets
operations.py    how `augment` changes a picture
quality/    checks, statistics and selection
torch_samples.py    a dataset for PyTorch
"""
