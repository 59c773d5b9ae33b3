"""By what assets are split: survey waves, and academic years of analysis.

Both are dynamic: the command and a sensor keep them in step with study.yaml, so a
new wave needs no reload of the code.
"""

import dagster as dg

__all__ = ["ANALYSIS_YEARS", "EVERY_WAVE", "WAVES"]

WAVES = dg.DynamicPartitionsDefinition(name="wave")
ANALYSIS_YEARS = dg.DynamicPartitionsDefinition(name="analysis_year")

EVERY_WAVE = dg.AllPartitionMapping()
"""From waves to an analysis year.

An analysis as of a year reads the waves up to it and no others: the asset picks
them from the manifest that it pins. A mapping class of our own could say so to
Dagster too, but Dagster supports only its own classes there: it warns that others
are deprecated, and its UI falls back to matching partitions by name.
"""
