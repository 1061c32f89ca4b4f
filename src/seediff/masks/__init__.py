"""Makes masks of named classes from `AttentionMaps`. Start with make.py. Each method has its own file, and so has each step of a method."""
