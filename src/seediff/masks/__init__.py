"""Makes masks of named classes from `AttentionMaps`. Start with make_masks.py. Each method has its own file, and so has
each refinement after it (pamr.py, sam.py). photos.py finds classes in photographs and makes their masks."""
