"""What is wrong with a dataset, what is in it, which samples are worth training on, and repairs."""
