"""Error rates with 11 communities, on a few hundred simulated studies each.

The validation page (`make validation`) has the same with thousands of studies.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks.studies import (
    METHODS,
    Verdicts,
    community_verdicts,
    joined,
    school_verdicts,
)

pytestmark = pytest.mark.slow

N, BATCH = 400, 100
Z, KR = METHODS.index("z"), METHODS.index("Kenward-Roger")
FEATURE, TREND = 0, 1


def null_studies(icc: float) -> Verdicts:
    batches = range(N // BATCH)
    return joined(
        [community_verdicts(icc, (0.0, 0.0), BATCH, seed=(7, b)) for b in batches]
    )


@pytest.mark.parametrize("icc", [0.0, 0.03])
def test_kenward_roger_rejects_at_most_six_percent_of_true_nulls(icc: float) -> None:
    found = null_studies(icc)
    rejected = found.missed[:, :, FEATURE].mean(axis=0)
    # Six percent is the project's ceiling, plus three Monte Carlo standard errors.
    assert rejected[KR] <= 0.06 + 3.0 * np.sqrt(0.06 * 0.94 / N)
    assert rejected[Z] > rejected[KR]
    # The trend is within students: some 1,300 df, where all methods agree.
    trend = found.missed[:, :, TREND].mean(axis=0)
    assert np.all(np.abs(trend - 0.05) < 4.0 * np.sqrt(0.05 * 0.95 / N))


def test_kenward_roger_keeps_the_df_of_communities_on_singular_fits() -> None:
    found = community_verdicts(0.0, (0.0, 0.0), BATCH, seed=(8,))
    df = found.df[found.singular][:, :, FEATURE]
    # 11 communities and two means leave 9.
    assert len(df) > BATCH / 4
    assert np.all(df[:, KR] < 10.0)
    assert np.median(df[:, METHODS.index("Satterthwaite")]) > 300.0


def test_a_school_wide_change_needs_the_academic_year_as_unit() -> None:
    # STATISTICS: 39% in R for a school-wide year SD of 0.1; the more rows, the worse.
    wrong, right, _ = (
        joined([school_verdicts(0.1, 50, seed=(9, b)) for b in range(2)])
        .missed[:, KR]
        .mean(axis=0)
    )
    assert wrong > 0.3
    assert right <= 0.06 + 3.0 * np.sqrt(0.06 * 0.94 / 100)
