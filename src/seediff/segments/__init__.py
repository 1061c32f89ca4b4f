"""Divides photographs into segments without class names, and names segments.

make_segments.py  from photographs to their segments; start here
aggregate.py      self-attention of all resolutions as one map, for diffseg.py (DiffSeg) and kmeans.py (K-Means)
diffcut.py        DiffCut, which divides the encoder's features
labelling.py      from a method's proposals to a label map that follows the edges of the photograph
naming.py         a name for each segment
"""
