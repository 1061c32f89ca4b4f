"""Other representations of a label map, which formats store instead of pixels: run lengths, polygons and objects."""
