"""The command line. main.py is what a shell starts; commands.py lists the commands, which are in one module per group.

A command gets what was typed of a configuration from line.py and typed.py, takes options that several commands have
from options.py, shows its progress with progress.py, says what to do next with advice.py, and prints its summary with
summary.py; lines of a training, an import or a change of a set are printed by their own modules.
"""
