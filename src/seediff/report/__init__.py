"""Output for people to look at: page.py writes preview.html and the dataset card, explain.py draws the steps of a mask.
tables.py has the figures that page and card share; their texts are in templates/."""
