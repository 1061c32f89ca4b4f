"""Divides photographs into segments without class names, and names segments.

make_segments.py  from photographs to their segments; start here
aggregate.py      adds up self-attention of all resolutions
diffseg.py        makes DiffSeg's segments of it; kmeans.py: K-Means
diffcut.py        DiffCut, which records the encoder's features, and divides them
labelling.py      from a method's proposals to a label map whose segments end at the photograph's edges
naming.py         the names of segments
"""
