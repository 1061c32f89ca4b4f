"""Folders of models, which appear only when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seediff.files.outputs import fresh_name


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder, which replaces `folder` if the block succeeds. Raises UserError if `folder` is a link or a
    file.
    """
    folder = folder.absolute()
    part = folder.with_name(fresh_name())
    folder.parent.mkdir(parents=True, exist_ok=True)
    part.mkdir()
    try:
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
