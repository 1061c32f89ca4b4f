"""Output for people to look at: the page preview.html, the dataset card, and pictures of masks and their steps."""
