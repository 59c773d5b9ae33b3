"""The synthetic study's files in the shapes of real exports: bytes, not rows.

A Qualtrics export has three header rows and columns that identify people, filled
with invented names, addresses of example.org and network addresses that are kept
for documentation; the pipeline must stop them. Question wording is neutral.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence

import numpy as np

from data_contracts.study import RosterFile, Study, Wave
from data_contracts.synthetic_faults import FINISHED, Response
from data_contracts.synthetic_people import People

__all__ = [
    "IDENTIFYING_COLUMNS",
    "community_years_roster",
    "membership_roster",
    "participants_roster",
    "qualtrics_export",
    "tabular_export",
]

# Heading, question text and ImportId of the columns that Qualtrics puts first.
_QUALTRICS_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("StartDate", "Start Date", "startDate"),
    ("EndDate", "End Date", "endDate"),
    ("Status", "Response Type", "status"),
    ("IPAddress", "IP Address", "ipAddress"),
    ("Progress", "Progress", "progress"),
    ("Duration (in seconds)", "Duration (in seconds)", "duration"),
    ("Finished", "Finished", "finished"),
    ("RecordedDate", "Recorded Date", "recordedDate"),
    ("ResponseId", "Response ID", "_recordId"),
    ("RecipientLastName", "Recipient Last Name", "recipientLastName"),
    ("RecipientFirstName", "Recipient First Name", "recipientFirstName"),
    ("RecipientEmail", "Recipient Email", "recipientEmail"),
    ("ExternalReference", "External Data Reference", "externalDataReference"),
    ("LocationLatitude", "Location Latitude", "locationLatitude"),
    ("LocationLongitude", "Location Longitude", "locationLongitude"),
    ("DistributionChannel", "Distribution Channel", "distributionChannel"),
    ("UserLanguage", "User Language", "userLanguage"),
)

IDENTIFYING_COLUMNS: tuple[str, ...] = (
    "IPAddress",
    "RecipientLastName",
    "RecipientFirstName",
    "RecipientEmail",
    "ExternalReference",
    "LocationLatitude",
    "LocationLongitude",
)
"""Filled columns of ``qualtrics_export`` that identify people."""

_FIRST_NAMES = (
    "Aldara", "Benno", "Calla", "Dorin", "Esme", "Fenn", "Galia", "Henrik",
    "Ilse", "Joram", "Kaia", "Leander", "Maren", "Nilo", "Odile", "Pascoe",
)  # fmt: skip
_LAST_NAMES = (
    "Applewhite", "Brandewyne", "Corvale", "Dunmarrow", "Estermont", "Farrowby",
    "Gildersleeve", "Hollowell", "Ironmonger", "Jessamy", "Kettlewick", "Larkmoor",
    "Merriwater", "Nettlefold", "Oakhanger", "Pennycastle",
)  # fmt: skip
_COMMENT_COLUMN = "Q8"
_COMMENTS = ("(an invented comment)", "(another invented comment)")
_MOMENT = "%Y-%m-%d %H:%M:%S"


def qualtrics_export(study: Study, wave: Wave, responses: Sequence[Response]) -> bytes:
    """Write a wave as Qualtrics exports it: three header rows, numeric codes.

    Args:
        study: Study that the wave belongs to.
        wave: Wave whose columns and item patterns name the questions.
        responses: Rows in file order.

    Returns:
        CSV in UTF-8 with a byte order mark.
    """
    names, texts, imports = (list(c) for c in zip(*_QUALTRICS_COLUMNS, strict=True))
    for instrument in wave.instruments:
        contract = study.instrument(instrument)
        headings = wave.instruments[instrument].item_columns(contract.n_items)
        names += headings
        label = contract.id.upper()
        texts += [f"{label} - {label} item {n + 1}" for n in range(contract.n_items)]
        imports += [f"QID{heading.removeprefix('Q')}" for heading in headings]
    key = wave.columns.key or ""
    names += [_COMMENT_COLUMN, key]
    texts += ["Is there anything that you would like to add?", key]
    imports += [f"QID{_COMMENT_COLUMN.removeprefix('Q')}_TEXT", key]
    header = [json.dumps({"ImportId": i}, separators=(",", ":")) for i in imports]
    rows = [names, texts, header]
    rows += [_qualtrics_row(wave, response) for response in responses]
    return _csv(rows).encode("utf-8-sig")


def _qualtrics_row(wave: Wave, response: Response) -> list[str]:
    # A digest stands in for chance: the same person has the same name every time.
    who = hashlib.sha256(f"who {response.key}".encode()).digest()
    what = hashlib.sha256(f"{wave.id} {response}".encode())
    first, last = _FIRST_NAMES[who[0] % 16], _LAST_NAMES[who[1] % 16]
    number = int.from_bytes(who[2:4], "big")
    finished = response.progress == FINISHED
    comment = what.digest()[0] < 8 and finished
    return [
        response.started.strftime(_MOMENT),
        response.recorded.strftime(_MOMENT),
        "1" if response.preview else "0",
        f"192.0.2.{1 + who[4] % 254}",
        str(response.progress),
        str(response.seconds),
        "1" if finished else "0",
        response.recorded.strftime(_MOMENT),
        f"R_{what.hexdigest()[:15]}",
        last,
        first,
        f"{first}.{last}.{number}@example.org".lower(),
        f"invented-{number:05d}",
        f"{33 + who[5] / 256:.13f}",
        f"{-87 + who[6] / 256:.13f}",
        "preview" if response.preview else "email",
        "EN",
        *response.answers,
        _COMMENTS[what.digest()[1] % 2] if comment else "",
        response.key,
    ]


def tabular_export(study: Study, wave: Wave, responses: Sequence[Response]) -> bytes:
    """Write a wave as a tidy CSV: one header row, one row per response.

    Args:
        study: Study that the wave belongs to.
        wave: Wave whose columns and item patterns are the headings.
        responses: Rows in file order.

    Returns:
        CSV in UTF-8.
    """
    header = [wave.columns.key or "", wave.columns.recorded_on or ""]
    for name, use in wave.instruments.items():
        header += use.item_columns(study.instrument(name).n_items)
    rows = [header]
    rows += [[r.key, r.recorded.date().isoformat(), *r.answers] for r in responses]
    return _csv(rows).encode()


def membership_roster(study: Study, roster: RosterFile, people: People) -> bytes:
    """Write who was in which community, class year and campus, from when to when."""
    rows = [
        {
            "participant": people.keys[spell.person],
            "community": study.communities[spell.community].id,
            "class_year": study.class_years[spell.class_year],
            "campus": study.campuses[spell.campus],
            "valid_from": spell.first_day.isoformat(),
            "valid_to": spell.last_day.isoformat() if spell.last_day else "",
        }
        for spell in people.spells()
    ]
    return _roster(roster, rows)


def participants_roster(roster: RosterFile, people: People) -> bytes:
    """Write who is in the study, with role, cohort and track."""
    rows = [
        {"participant": key, "role": "student", "cohort": cohort, "track": track}
        for key, cohort, track in zip(
            people.keys, people.cohorts, people.tracks, strict=True
        )
    ]
    return _roster(roster, rows)


def community_years_roster(
    study: Study, roster: RosterFile, people: People, *, rng: np.random.Generator
) -> bytes:
    """Write what each community had in each academic year; size as of its start."""
    rows = []
    volunteers = 2 + (rng.random(len(study.communities)) * 4).astype(np.int64)
    for position, term in enumerate(people.terms):
        starts = position == 0 or people.terms[position - 1].academic_year != (
            term.academic_year
        )
        if not starts or term.academic_year not in study.academic_years:
            continue
        for c, community in enumerate(study.communities):
            draws = rng.random(4)
            rows.append(
                {
                    "community": community.id,
                    "academic_year": term.academic_year,
                    "size": str(int((people.community[:, position] == c).sum())),
                    "mentor_fte": f"{0.2 + 0.05 * int(draws[0] * 5):.2f}",
                    "mentors": str(1 + int(volunteers[c])),
                    "residents": str(int(draws[1] * 4)),
                    "student_reps": "8",
                    "gatherings": str(6 + int(draws[2] * 7)),
                    "contacts": str(80 + int(draws[3] * 120)),
                }
            )
    return _roster(roster, rows)


def _roster(roster: RosterFile, rows: Iterable[dict[str, str]]) -> bytes:
    """Write the columns that the study file maps, under the file's own headings."""
    ours = list(roster.columns)
    table = [[row[name] for name in ours] for row in rows]
    return _csv([list(roster.columns.values()), *table]).encode()


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
