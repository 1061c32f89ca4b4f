"""Studies of masks against exact masks."""
