# ---
# title: "A first look at a year"
# author: the lcwaves team
# question: "How many answered, and how do the scores lie?"
# inputs: [score, response, membership]
# year: the environment variable LCWAVES_YEAR, else the latest
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A first look at a year
#
# The tables are read-only: nothing here can break the data. What you see is not
# released; results leave the study through the release gate alone.

# %%
import os

import polars as pl

from pipelines import open_study

year = os.environ.get("LCWAVES_YEAR")
study = open_study(year=year)
study.tables

# %% [markdown]
# Who answered each wave, out of those who were members on the day it opened.

# %%
study.sql(
    """
    SELECT w.wave, count(DISTINCT m.participant) AS eligible,
           count(DISTINCT r.participant) AS answered
    FROM wave AS w
    JOIN membership AS m
      ON m.valid_from <= w.opened
     AND (m.valid_to IS NULL OR m.valid_to >= w.opened)
    LEFT JOIN response AS r
      ON r.wave = w.wave AND r.participant = m.participant
    GROUP BY w.wave
    ORDER BY w.wave
    """
)

# %% [markdown]
# Scores per scale and wave: people, mean and standard deviation.

# %%
study.table("score").group_by("scale", "wave").agg(
    people=pl.col("value").count(),
    mean=pl.col("value").mean().round(2),
    sd=pl.col("value").std().round(2),
).sort("scale", "wave")

# %% [markdown]
# The same table for pandas, if you know that better.

# %%
scores = study.pandas("score")
scores.groupby("scale")["value"].describe()[["count", "mean", "std"]].round(2)
