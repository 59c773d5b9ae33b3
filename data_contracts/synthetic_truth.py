"""What is true in the synthetic study: effects, variances, faults, as frozen values.

The numbers that were chosen stand here with their reasons; how people and answers
are drawn from them is the matter of ``synthetic_people`` and ``synthetic_answers``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DESIGN",
    "OUTCOME_CORRELATION",
    "RESPONSE",
    "LevelEffect",
    "OutcomeDesign",
    "OutcomeTruth",
    "PlantedFault",
    "ResponseDesign",
    "Truth",
    "WaveTruth",
]


@dataclass(frozen=True)
class LevelEffect:
    """True effect of one level of a factor, in the outcome's own units."""

    level: str
    effect: float


@dataclass(frozen=True)
class OutcomeTruth:
    """How one outcome was made.

    Score = intercept + academic year + class year + community + person + occasion.
    The person's part is a lasting level and a slow part that fades from wave to
    wave, so two waves next to each other agree more than two far apart.

    Attributes:
        outcome: Outcome id in the study file.
        scale: Scale id, ``instrument.scale``.
        intercept: Expected score in the first academic year and class year.
        academic_year: Effects against the first academic year, which has 0.
        class_year: Effects against the first class year, which has 0.
        communities: Realised community effects; their mean is 0.
        community_variance: Sample variance of those effects.
        student_variance: What a student random intercept stands for in these waves:
            the lasting variance and the mean covariance of the slow part over all
            pairs of answered waves of the same person.
        residual_variance: What such a model leaves as residual.
        lasting_variance: Variance of the persons' lasting levels.
        slow_variance: Variance of the slow part.
        slow_correlation: Its correlation between two successive waves.
        occasion_variance: Variance of the part that is new in every wave, with that
            of rounding to whole answers.
    """

    outcome: str
    scale: str
    intercept: float
    academic_year: tuple[LevelEffect, ...]
    class_year: tuple[LevelEffect, ...]
    communities: tuple[LevelEffect, ...]
    community_variance: float
    student_variance: float
    residual_variance: float
    lasting_variance: float
    slow_variance: float
    slow_correlation: float
    occasion_variance: float

    @property
    def total_variance(self) -> float:
        """Variance around the fixed effects."""
        return self.community_variance + self.student_variance + self.residual_variance

    @property
    def community_icc(self) -> float:
        """Share of the variance that lies between communities."""
        return self.community_variance / self.total_variance

    @property
    def student_icc(self) -> float:
        """Share of the variance that lies between students of a community."""
        return self.student_variance / self.total_variance

    def wave_correlation(self, lag: int) -> float:
        """True correlation of the scores of two waves of the same people.

        Args:
            lag: Waves between them; 1 for successive ones.

        Returns:
            The correlation around the fixed effects.
        """
        shared = self.community_variance + self.lasting_variance
        slow = self.slow_variance * self.slow_correlation**lag
        return (shared + slow) / self.total_variance


@dataclass(frozen=True)
class WaveTruth:
    """Who was asked in a wave, who answered and what its file holds.

    Attributes:
        wave: Wave id.
        eligible: Members of a community while the wave was open.
        answered: Of those, people who answered at least one item.
        expected_rate: Mean true probability of answering among the eligible.
        expected_rate_preclinical: The same in the first two class years.
        expected_rate_clinical: The same in the later class years.
        rows_in_file: Data rows of the file, planted faults included.
        rows_accepted: Rows that a correct pipeline keeps.
        unfinished_kept: Accepted rows that the export marks as unfinished; 0 in a
            format that does not mark them.
    """

    wave: str
    eligible: int
    answered: int
    expected_rate: float
    expected_rate_preclinical: float
    expected_rate_clinical: float
    rows_in_file: int
    rows_accepted: int
    unfinished_kept: int


@dataclass(frozen=True)
class PlantedFault:
    """Quarantined rows or answers that a rule must find in a wave.

    Attributes:
        wave: Wave id.
        rule: Name of the rule, as in the quarantine table.
        extent: ``row`` or ``answer``.
        count: Rows or answers set aside; both rows of a ``duplicate_person``, the
            later row of an ``exact_repeat``.
    """

    wave: str
    rule: str
    extent: str
    count: int


@dataclass(frozen=True)
class Truth:
    """Everything that is true in a synthetic study.

    Attributes:
        study: Study id.
        seed: Seed that it was written from.
        people: People in the rosters.
        spells: Rows of the membership roster.
        outcomes: How each outcome was made.
        waves: Counts and response rates by wave.
        faults: Planted faults; a wave and rule that is not here has none.
        identifying_columns: Filled columns of the Qualtrics files that identify
            people and must never be stored.
        dropout_log_odds_per_sd: Change in the log odds of answering per standard
            deviation of the last observed exhaustion score.
        clinical_log_odds: Change in the log odds of answering in clinical years.
    """

    study: str
    seed: int
    people: int
    spells: int
    outcomes: tuple[OutcomeTruth, ...]
    waves: tuple[WaveTruth, ...]
    faults: tuple[PlantedFault, ...]
    identifying_columns: tuple[str, ...]
    dropout_log_odds_per_sd: float
    clinical_log_odds: float

    def outcome(self, name: str) -> OutcomeTruth:
        """The truth of one outcome.

        Raises:
            KeyError: If the study has no such outcome.
        """
        for candidate in self.outcomes:
            if candidate.outcome == name:
                return candidate
        raise KeyError(name)

    def fault_count(self, wave: str, rule: str) -> int:
        """Rows or answers that a rule must set aside in a wave; 0 if none."""
        return sum(f.count for f in self.faults if (f.wave, f.rule) == (wave, rule))


@dataclass(frozen=True)
class OutcomeDesign:
    """Chosen truth of one outcome, before people are drawn.

    Attributes:
        outcome: Outcome id.
        intercept: Expected score in the first academic year and class year.
        sd: Standard deviation around the fixed effects.
        community_share: Share of that variance between communities.
        lasting_share: Share of the persons' lasting levels.
        slow_share: Share of the part that fades from wave to wave.
        academic_year: Effects by position of the academic year.
        class_year: Effects by position of the class year.
        item_noise: How much single items stray from the person's level, in steps of
            the answer scale; more of it lowers Cronbach's alpha.
        skew: Log-scale standard deviation of the lasting levels; 0 is normal. With a
            skew the wave-to-wave parts grow with the level, so that hardly any score
            falls below the lowest possible one.
        item_ease: How readily each item is agreed with, in steps; empty where items
            simply differ a little.
    """

    outcome: str
    intercept: float
    sd: float
    community_share: float
    lasting_share: float
    slow_share: float
    academic_year: tuple[float, ...]
    class_year: tuple[float, ...]
    item_noise: float
    skew: float = 0.0
    item_ease: tuple[float, ...] = ()


SLOW_CORRELATION = 0.4

# Means and SDs of the OLBI: AAMC graduation questionnaire, 11.5 (3.6) and 9.4 (3.6)
# of 24, that is 2.44 and 2.18 (0.45) on the 1 to 4 mean. The shares give wave-to-wave
# correlations of about .66 and .57 (found in a real panel: .68 and .63, then .54) and
# a student-level ICC inside .50 to .75. Exhaustion falls over the academic years;
# environment and distress truly do not move. Distress is skewed and varies more where
# it is high, and people who do worse answer less: in the answers its within-person
# variance is on average 5% below what is stated (SD over seeds 4%), the others' 1%.
DESIGN: tuple[OutcomeDesign, ...] = (
    OutcomeDesign(
        outcome="exhaustion",
        intercept=2.44,
        sd=0.44,
        community_share=0.03,
        lasting_share=0.48,
        slow_share=0.38,
        academic_year=(0.0, -0.03, -0.07, -0.12),
        class_year=(0.0, 0.10, 0.22, 0.08),
        item_noise=0.42,
    ),
    OutcomeDesign(
        outcome="disengagement",
        intercept=2.10,
        sd=0.44,
        community_share=0.02,
        lasting_share=0.49,
        slow_share=0.38,
        academic_year=(0.0, -0.01, -0.02, -0.04),
        class_year=(0.0, 0.08, 0.14, 0.16),
        item_noise=0.42,
    ),
    OutcomeDesign(
        outcome="environment",
        intercept=130.0,
        sd=20.0,
        community_share=0.05,
        lasting_share=0.46,
        slow_share=0.38,
        academic_year=(0.0, 0.0, 0.0, 0.0),
        class_year=(0.0, -3.0, -6.0, -4.0),
        item_noise=0.95,
    ),
    OutcomeDesign(
        outcome="distress",
        intercept=7.0,
        sd=4.3,
        community_share=0.005,
        lasting_share=0.505,
        slow_share=0.38,
        academic_year=(0.0, 0.0, 0.0, 0.0),
        class_year=(0.0, 0.4, 0.9, 0.3),
        item_noise=0.65,
        skew=0.3,
        # Tiredness is common, the last item (thoughts of death) rare.
        item_ease=(0.1, 0.0, 0.3, 0.7, 0.1, 0.1, 0.1, -0.4, -1.2),
    ),
)
"""Designs in the order of ``OUTCOME_CORRELATION``."""

OUTCOME_CORRELATION: tuple[tuple[float, ...], ...] = (
    (1.00, 0.55, -0.40, 0.55),
    (0.55, 1.00, -0.45, 0.40),
    (-0.40, -0.45, 1.00, -0.35),
    (0.55, 0.40, -0.35, 1.00),
)
"""Correlations between outcomes of a person's lasting, slow and occasion parts."""


@dataclass(frozen=True)
class ResponseDesign:
    """Chosen truth about who answers and what they skip.

    Attributes:
        log_odds: Log odds of answering by position of the wave, for a person of
            average propensity and average last score in the first two class years.
        clinical: Added in the later class years.
        per_sd: Added per standard deviation of the last observed exhaustion score.
        person_sd: Standard deviation of the persons' own propensity, log odds.
        skippers: Share of people who skip items, in half of their responses. Skipping
            is gathered in few people because a DREEM total needs all 50 items.
        skip_rates: Share of items they skip: most of them, and the rest.
        stops: Share of responses that stop midway.
    """

    log_odds: tuple[float, ...]
    clinical: float
    per_sd: float
    person_sd: float
    skippers: float
    skip_rates: tuple[float, float]
    stops: float


RESPONSE = ResponseDesign(
    log_odds=(1.45, 1.25, 1.40, 1.15, 1.35, 1.20, 1.50, 1.25),
    clinical=-0.65,
    per_sd=-0.30,
    person_sd=0.70,
    skippers=0.045,
    skip_rates=(0.06, 0.30),
    stops=0.012,
)
