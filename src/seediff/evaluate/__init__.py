"""Measures label maps and segments against labels: mIoU and more, by the protocols of the papers.

With classes, `seediff evaluate`:

protocols.py    the classes of each published comparison, and how names are matched with them
layouts.py      labelled images in folders as public data sets are distributed, or in SeeDiff's formats
semantic.py     from pairs of label maps to scores with intervals
evaluation.py   the whole command, from folders of label maps or a segmenter to the report with the worst images

A model's masks under several protocols, `seediff evaluate masks` (run/evaluate_masks.py):

masks.py        counts at all thresholds, and one protocol's scores

Segments without classes, `seediff evaluate segments`:

segments.py     the whole command, over a folder, one image at a time

Folders of labels as data sets are distributed are read by dataset/labels.py, for both and for `import`.
"""
