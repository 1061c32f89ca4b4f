"""`python -m seediff`: the command line."""

import os
import sys

if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
    # `-m` puts the current folder first. Files in it, perhaps other people's, would be imported instead of libraries of
    # the same name.
    del sys.path[0]

from .cli.main import main

sys.exit(main())
