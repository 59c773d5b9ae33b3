"""Person keys: a keyed hash of what the study declares as a person's key.

The secret lives outside the study; who holds only the study cannot try out student
numbers. Self-generated codes will be linked here too.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["person_key", "row_key"]

_DIGITS = 24


def person_key(secret: bytes, value: str) -> str:
    """Hash a declared key; the same key and secret give the same hash.

    Args:
        secret: The study's hashing key.
        value: Key as it stands in the file; outer white space does not count.

    Returns:
        ``P`` and 24 hexadecimal digits (96 bits).

    Examples:
        >>> person_key(b"secret", "s1") == person_key(b"secret", " s1 ")
        True
        >>> person_key(b"secret", "s1") == person_key(b"other", "s1")
        False
    """
    digest = hmac.new(secret, value.strip().encode(), hashlib.sha256).hexdigest()
    return f"P{digest[:_DIGITS]}"


def row_key(wave: str, row_number: int) -> str:
    """Name a respondent who has no key: one row of one wave, linked to nothing.

    Examples:
        >>> row_key("2024-25_fall", 7)
        'R-2024-25_fall-0000007'
    """
    return f"R-{wave}-{row_number:07d}"
