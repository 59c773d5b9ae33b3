"""Settings: which study, where its secret lies, which Dagster home."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from data_contracts.errors import MachineError

__all__ = [
    "DEFAULT_STUDY",
    "dagster_home",
    "hashing_secret",
    "secret_fingerprint",
    "study_folder",
]

STUDY_VARIABLE = "LCWAVES_STUDY"
KEYS_VARIABLE = "LCWAVES_KEYS"
_PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_STUDY = _PROJECT / "studies" / "demo"
"""The demo study beside the code, wherever a notebook or command is started."""

_SECRET_BYTES = 32


def study_folder(option: str | os.PathLike[str] | None = None) -> Path:
    """The study folder: the option, else LCWAVES_STUDY, else studies/demo."""
    chosen = option or os.environ.get(STUDY_VARIABLE) or DEFAULT_STUDY
    return Path(chosen).expanduser().absolute()


def hashing_secret(study_id: str) -> bytes:
    """The key of a study's person hash, made on first use.

    It lies outside every study, in the user's own configuration folder (or
    LCWAVES_KEYS), readable by its owner alone, and is never copied. Who loses it
    cannot link new waves to old ones.

    Args:
        study_id: Id of the study.

    Returns:
        32 random bytes.

    Raises:
        MachineError: If it cannot be read or made, or is damaged.
    """
    folder = Path(
        os.environ.get(KEYS_VARIABLE)
        or Path(platformdirs.user_config_dir("lcwaves")) / "keys"
    )
    path = folder / f"{study_id}.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # O_EXCL: two first runs at once cannot end with two different keys.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
        secret = path.read_bytes()
    except OSError as error:
        raise MachineError(
            f"The hashing key of study {study_id} cannot be read or made "
            f"({error.strerror}); expected a private file in {folder}. Check the "
            f"folder's permissions or set {KEYS_VARIABLE}."
        ) from None
    if len(secret) != _SECRET_BYTES:
        raise MachineError(
            f"The hashing key of study {study_id} is damaged: {len(secret)} bytes in "
            f"{path}, expected {_SECRET_BYTES}. Restore it from your backup; a new key "
            "would make every person a new one."
        )
    return secret


def secret_fingerprint(secret: bytes) -> str:
    """Name a secret without giving it away, to see that it is still the same one."""
    return hmac.new(secret, b"lcwaves fingerprint", hashlib.sha256).hexdigest()[:16]


def dagster_home(folder: Path) -> Path:
    """The study's own Dagster home, with its dagster.yaml in place."""
    home = folder / ".dagster"
    template = (_PROJECT / "dagster.yaml").read_text("utf-8")
    target = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text("utf-8") != template:
            target.write_text(template, "utf-8")
    except OSError as error:
        raise MachineError(
            f"{home}: cannot be written ({error.strerror}); expected a study folder "
            "that you may write to. Check its permissions."
        ) from None
    return home
