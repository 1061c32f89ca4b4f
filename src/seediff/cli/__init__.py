"""The command line: `main` is what a shell starts, commands.py lists the commands, which are in one module per group.

A command gets what was typed from line.py, shares options.py with others, and prints what summary.py writes.
"""
