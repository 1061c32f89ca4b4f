"""Divides photographs into segments without class names (DiffSeg, K-Means, DiffCut), and names segments. make.py is the way in."""
