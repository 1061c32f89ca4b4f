"""A label map as runs, run lengths, polygons and objects: what formats store instead of pixels."""
