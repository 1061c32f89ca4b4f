"""Makes masks of named classes from `AttentionMaps`. Start with make_masks.py. Methods have their own files, and so do
the refinements after them (pamr.py, sam.py). photos.py finds classes in photographs and makes masks of these."""
