"""`seediff look`: a page in the browser for viewing and correcting a dataset."""

from __future__ import annotations

import atexit
import getpass
import os
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from ..config.fields import WORD
from ..files.messages import plural
from .advice import warn
from .options import option
from .progress import InterruptedRun

PAGE = Group("The page", sort_key=1)


def look(
    path: Annotated[Path, Parameter(help="Folder of a dataset, for example of `generate`, `segment` or `predict`.")],
    /,
    *,
    port: Annotated[
        int, WORD, Parameter(validator=Number(gte=0, lt=65536)), option(PAGE, "Port to listen on.", "a free one")
    ] = 0,
    host: Annotated[
        str,
        option(
            PAGE,
            "Address to listen on. By another than this machine's own, others can connect, unencrypted, with the token"
            " that is printed.",
            "127.0.0.1",
        ),
    ] = "127.0.0.1",
    browser: Annotated[bool, option(PAGE, "Open the page in the browser.", "yes")] = True,
    method: Annotated[
        str | None, option(PAGE, "FILE.py:FUNCTION: your own mask method to try on the page. The file is executed.")
    ] = None,
    model: Annotated[
        str | None, option(PAGE, "Model that finds segments to click in images.", "the model that made the set")
    ] = None,
    by: Annotated[str | None, option(PAGE, "Reviewer's name, for review.jsonl.", "your user name")] = None,
) -> None:
    """View a dataset in the browser, see how each mask was made, and correct masks. Press Ctrl-C to stop.

    Decisions are saved in review.jsonl, corrected masks in reviewed/. The dataset's own files stay as they are.
    `filter --reviewed`, `export` and `train` use both.

    For example:

    - `seediff look pets`

    - `seediff look pets --no-browser --port 8765`
    """
    from ..look.gate import is_loopback
    from ..look.serve import serve

    if method is not None:
        from ..masks.own_methods import register_file

        register_file(method)

    looking = None
    if model is not None:
        from ..config.resolve import configure_run
        from ..config.runs import SegmentPhotosConfig

        looking, _ = configure_run(SegmentPhotosConfig, {"model": model}, planned=True)
    with serve(path, by=by or _user(), host=host, port=port, looking=looking) as opened:
        samples = plural(len(opened.store.samples), "sample")
        print(f"{path}: {samples} at {opened.url} (Ctrl-C ends it)", flush=True)
        if "COLAB_RELEASE_TAG" in os.environ:
            fix = f"show {path / 'preview.html'}, or zip the folder and download it"
            warn(f"in Colab no browser reaches this address; {fix}")
        if not is_loopback(host):
            print(f"Other machines can connect, unencrypted, with the access token: {opened.token}", flush=True)
        if opened.store.read_only:
            warn(f"{path}: {opened.store.read_only}")
        # Without a screen, a text browser would open in this terminal
        screen = sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
        if browser and screen and is_loopback(host):
            webbrowser.open_new_tab(opened.once)
        opened.run()
    acted = opened.store.acted
    saved = f"{plural(acted, 'action')} saved"
    if acted:
        saved += f" in {shlex.quote(str(path / 'review.jsonl'))}"
    if opened.server.interrupted:
        if opened.is_busy:  # Python would end this thread inside of torch, which then aborts with a line of its own
            atexit.register(os._exit, 130)
        raise InterruptedRun(f"ended; {saved}")
    print(f"Ended; {saved}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user id has no name
        return ""
