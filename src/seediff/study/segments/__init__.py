"""Studies of segments without classes."""
