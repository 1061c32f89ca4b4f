"""For use in scripts: the attention of a pipeline that runs in the script, and masks and segments of single pictures in
memory.
"""
