"""Studies of masks against exact ones."""
