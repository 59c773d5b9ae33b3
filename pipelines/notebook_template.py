"""Writing a new notebook: front matter and a first cell that works."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

from data_contracts.errors import DataError, MachineError

__all__ = ["new_notebook", "slug"]

_TEMPLATE = """\
# ---
# title: {quoted}
# author: your name
# question: {quoted}
# inputs: [score, response, membership]
# year: the environment variable LCWAVES_YEAR, else the latest
# jupyter:
#   jupytext:
#     text_representation: {{extension: .py, format_name: percent}}
#   kernelspec: {{display_name: Python 3, language: python, name: python3}}
# ---

# %% [markdown]
# # {title}
#
# What is asked, of whom, and why. The tables are read-only: nothing here can break
# the data. Results leave the study through the release gate alone.

# %%
import os

import polars as pl

from pipelines import open_study

year = os.environ.get("LCWAVES_YEAR")
study = open_study(year=year)

# %% [markdown]
# Scores per wave: how many people, and their mean.

# %%
study.table("score").group_by("scale", "wave").agg(
    people=pl.col("value").count(), mean=pl.col("value").mean().round(2)
).sort("scale", "wave")
"""


def slug(title: str) -> str:
    """Make a module name of a title.

    Examples:
        >>> slug("Does near-peer mentoring matter?")
        'does_near_peer_mentoring_matter'
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    return name if name[:1].isalpha() else f"notebook_{name}".rstrip("_")


def new_notebook(title: str, folder: Path) -> Path:
    """Write a new notebook.

    Args:
        title: Its title, a question at best.
        folder: Folder of the notebooks.

    Returns:
        The new file.

    Raises:
        DataError: If the title is empty or such a notebook exists.
        MachineError: If the folder may not be written.
    """
    shown = " ".join(title.split())
    if not re.search(r"\w", shown):
        raise DataError(
            'found no title; expected one, such as lcwaves new-notebook "Do class '
            'years differ?"'
        )
    path = folder / f"{slug(shown)}.py"
    text = _TEMPLATE.format(title=shown, quoted=json.dumps(shown, ensure_ascii=False))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DataError(
            f"{path.name}: found a notebook of that name; expected a new title. Open "
            "it, or choose another title."
        ) from None
    except OSError as error:
        raise MachineError(
            f"{path}: cannot be written ({error.strerror}); expected permission to "
            "write there."
        ) from None
    return path
