"""What `recipes/renew.py` knows: which output of the docs is made by which command, and of what."""
