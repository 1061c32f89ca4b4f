"""Makes masks of named classes from `AttentionMaps`. make.py is the way in; each method is a file, and so is each step of a method."""
