"""The quality of a dataset: checks, statistics, and selection of samples."""
