"""The one error of the engine: an input that no mixed model can answer.

It lives here because the engine stands on numpy and scipy alone; the door above
turns it into the project's own tree of errors.
"""

from __future__ import annotations

__all__ = ["LmmError"]


class LmmError(ValueError):
    """The question put to the engine has no answer; the message says why."""
