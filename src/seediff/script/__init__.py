"""In a script of one's own: the attention of a pipeline that runs there, and single pictures in memory."""
