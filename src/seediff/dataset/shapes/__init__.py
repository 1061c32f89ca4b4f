"""Other representations of a label map: the runs, run lengths, polygons and objects that formats store instead of
pixels.
"""
