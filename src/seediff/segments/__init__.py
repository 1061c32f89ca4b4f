"""Divides photographs into segments without class names (DiffSeg, K-Means, DiffCut), and names segments. Start with
make_segments.py.
"""
