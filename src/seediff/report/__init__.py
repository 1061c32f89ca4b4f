"""Reports for people after a run: `preview.html` and the dataset card. Only `write_preview` and `save_trace` write
files.
"""
