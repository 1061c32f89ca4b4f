"""The templates of pages and cards, and `render`, which fills them in. Everything is escaped unless a template says
otherwise.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("seediff.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, /, **values: Any) -> str:
    """Fill in a template of this folder. Text from outside (prompts, class names) cannot become markup."""
    return _environment().get_template(template).render(**values)
