"""Segments of a photograph without any class: DiffSeg, K-Means, DiffCut, and names for what was found."""
