"""Divides photographs into segments without class names (DiffSeg, K-Means, cuts of graphs), and names segments. Start with make.py."""
