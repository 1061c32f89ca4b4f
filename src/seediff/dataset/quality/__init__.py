"""The quality of a dataset: checks, statistics, selection of samples, and repairs."""
