"""The page: whole, offline, escaped, marked, the same each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from data_contracts.errors import DisclosureError
from reports.disclosure import release
from reports.export import find_browser
from reports.html import render_page
from tests.unit import year_results as example

BASE = example.year_results()
PROVENANCE = example.provenance()


@pytest.fixture(scope="module")
def draft() -> str:
    shown = release(example.with_small_cell(1), example.study())
    return render_page(shown, PROVENANCE, state="draft")


@pytest.fixture(scope="module")
def released() -> str:
    shown = release(BASE, example.study(synthetic=False))
    return render_page(shown, PROVENANCE, state="released")


def own_part(page: str) -> str:
    """The page without the library inside it."""
    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def test_the_page_asks_nothing_of_any_server(draft: str) -> None:
    own = own_part(draft)
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", own)
    assert not re.search(r"@import|url\(\s*[\"']?https?:", own)
    assert "http://" not in own
    assert "https://" not in own


def test_the_same_release_gives_the_same_bytes(draft: str) -> None:
    shown = release(example.with_small_cell(1), example.study())
    assert render_page(shown, PROVENANCE, state="draft") == draft


def test_a_cell_of_one_person_is_nowhere_in_the_page(draft: str) -> None:
    own = own_part(draft)
    for written in ("3.777", "3.78"):
        assert written not in own
    assert "fewer than 10 people" in own


def test_a_draft_is_marked_and_a_release_is_not(draft: str, released: str) -> None:
    assert "DRAFT" in own_part(draft)
    assert 'class="watermark"' in draft
    assert not re.search("draft", own_part(released), re.IGNORECASE)
    assert "watermark" not in own_part(released)


def test_invented_data_are_called_so(draft: str, released: str) -> None:
    assert "Invented data." in draft
    assert "Invented data" not in own_part(released)


def test_the_first_screen_has_the_primaries_in_order(draft: str) -> None:
    summary = draft[draft.index('id="summary"') : draft.index('id="study"')]
    places = [
        summary.index(words)
        for words in (
            "Exhaustion fell by 0.17 points",
            "No clear change in disengagement",
            "Learning environment rose by 7.2 points",
            "No clear change in depressive symptoms (PHQ-9)",
            "540 of 770 eligible people",
            "1\N{NARROW NO-BREAK SPACE}045",
            'id="exhaustion-by-academic-year"',
        )
    ]
    assert places == sorted(places)


def test_what_a_reader_must_find_is_there(draft: str) -> None:
    own = own_part(draft)
    for words in (
        "large-sample z",
        "statsmodels MixedLM, REML",
        "What this cannot say",
        "answer out of range",
        "describes single communities, which this edition never shows",
        PROVENANCE.manifest_digest,
        PROVENANCE.code_digest,
        PROVENANCE.waves[0].digest,
        "Demerouti E, Bakker AB",
        "1 = strongly agree to 4 = strongly disagree",
        "by convention at least 6 of 8 items",
    ):
        assert words in own, words


class _Figures(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.scripts: list[str] = []
        self.details = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("role") == "img":
            self.labels.append(found.get("aria-label") or "")
        self.details += tag == "details"
        if tag == "script":
            self.scripts.append(found.get("type") or "")


def test_every_figure_has_its_picture_in_words_and_its_numbers(draft: str) -> None:
    parser = _Figures()
    parser.feed(own_part(draft))
    assert len(parser.labels) == 22
    assert all(len(label) > 40 for label in parser.labels)
    assert parser.details >= len(parser.labels)


def test_markup_of_a_person_is_shown_as_text() -> None:
    evil = "<script>alert(1)</script>"
    communities = [
        {"id": c, "name": evil if c == "lc01" else c} for c in example.COMMUNITIES
    ]
    outcomes = [
        {"id": o.id, "scale": o.scale, "label": f"{o.label}{evil}"}
        for o in example.study().outcomes
    ]
    study = example.study(title=evil, communities=communities, outcomes=outcomes)
    page = own_part(render_page(release(BASE, study), PROVENANCE, state="draft"))
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    parser = _Figures()
    parser.feed(page)
    # The figures' data, the colours, the library, the page's own script: no more.
    assert parser.scripts.count("application/json") == 23
    assert parser.scripts.count("") == 2


def test_a_model_that_was_not_fitted_is_named_with_its_reason_and_no_small_count() -> (
    None
):
    results = example.with_refusal("The outcome is constant among 3 people.")
    own = own_part(
        render_page(release(results, example.study()), PROVENANCE, state="draft")
    )
    assert "Model second of depressive symptoms" in own.replace("(PHQ-9) ", "")
    assert "was not fitted. The outcome is constant among" in own
    assert "among 3 people" not in own


def test_only_released_values_become_a_page() -> None:
    with pytest.raises(DisclosureError):
        render_page(BASE, PROVENANCE, state="draft")  # type: ignore[arg-type]


BROWSER = find_browser()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
def test_the_page_opens_offline_without_a_complaint(draft: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 needs the browser

    path = tmp_path / "index.html"
    path.write_text(draft, encoding="utf-8")
    complaints: list[str] = []
    requests: list[str] = []
    grounds = []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn=all]", state="attached", timeout=30_000)
        drawn = page.locator(".plot .main-svg").count()
        for scheme, width in (("light", 1280), ("dark", 480)):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.set_viewport_size({"width": width, "height": 900})
            grounds.append(
                page.evaluate("getComputedStyle(document.body).backgroundColor")
            )
            wide = "document.documentElement.scrollWidth - window.innerWidth"
            assert page.evaluate(wide) <= 0, f"the page is wider than {width} pixels"
        browser.close()
    assert complaints == []
    outside = [u for u in requests if not u.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert drawn >= 22
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 24, 29)"]
