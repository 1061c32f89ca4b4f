"""Imports transformers and diffusers without their warnings, and hears what they say where it counts (`heard`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import UserError, causes


def import_transformers() -> Any:
    """The module transformers, without its warnings and progress bars. Warnings about a broken folder would only repeat
    the error."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # some warnings are issued during the import
    import transformers

    transformers.logging.set_verbosity(logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    return transformers


def import_diffusers() -> None:
    """Import diffusers, and turn off the libraries' warnings and progress bars. Raises UserError if the installed
    torchvision breaks the import."""
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    for name in ("bitsandbytes", "torchao", "torch.utils._pytree"):  # which diffusers imports if installed
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        import torch  # noqa: F401  # first, so that its own faults are reported as such

        import_transformers()
        from diffusers import DiffusionPipeline  # noqa: F401  # whose import imports torchvision
        from diffusers.utils import logging as diffusers_logging
    except Exception as error:  # lazy imports wrap the cause in another error
        if not any("torchvision" in str(cause) for cause in causes(error)):
            raise
        problem = "the installed torchvision does not fit torch and breaks diffusers"
        raise UserError(f"{problem}; `pip uninstall torchvision`") from error
    diffusers_logging.set_verbosity(logging.CRITICAL)
    diffusers_logging.disable_progress_bar()


@contextmanager
def heard() -> Iterator[list[str]]:
    """In this block, what diffusers and transformers warn of is added to the list. Otherwise nobody would hear it,
    because `import_diffusers` turned it off."""
    said = list[str]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    before = [(logger.handlers, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers = [Listener()]
        logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        for logger, (handlers, level) in zip(loggers, before, strict=True):
            logger.handlers = handlers
            logger.setLevel(level)
