"""`python -m seediff`: the command line."""

import os
import sys

if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
    # `-m` puts the present folder first, whose files, other people's perhaps, would be taken for the libraries that they are called like.
    del sys.path[0]

from .cli import main

sys.exit(main())
