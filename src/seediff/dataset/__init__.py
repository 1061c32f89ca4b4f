"""Datasets: samples with label maps, in memory and on disk.

dataset.py, sample.py               `Dataset`, `Sample`
native.py                           the folder that `generate` and `mask` make, how it is read, if it is finished
writing.py                          `encode_sample`: a sample as a row and files; datasets that appear whole
reviews.py                          people's decisions about samples
encoding.py                         pictures, label maps and objects as files
shapes/                             label maps as objects, polygons and run lengths
formats/                            every other format
class_lists.py, mask_values.py      what values, colours and names in other programs' masks mean
importing.py                        native datasets of other formats, corrected masks and unlabelled pictures
merge.py, split.py, augmented.py    datasets made of datasets
check.py, select.py                 checks, statistics and selection
torch_samples.py                    a dataset for PyTorch
"""
