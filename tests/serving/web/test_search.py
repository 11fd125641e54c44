"""The tab Search, as a person uses it: over an index of coloured walls, four of each colour."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import COLOURS, colour_png
from playwright.sync_api import Locator, Page, expect

from serving.web import hits, search

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]  # the first test waits for the whole to start
NASTY = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>${window.hurt=1}{{hurt}}"\'>'
NUM_PICTURES = 4 * len(COLOURS)


@pytest.fixture
def tab(page: Page) -> Page:
    page.get_by_role("tab", name="Search").click()
    return page


def cards(page: Page) -> Locator:
    return page.locator("#search-found li")


def ask(page: Page, text: str) -> None:
    page.get_by_label("What are you looking for?").fill(text)
    page.keyboard.press("Enter")


def test_words_find_pictures_best_first_and_page_by_page(tab: Page) -> None:
    expect(tab.locator("#search-found")).to_contain_text("Say what you are looking for")
    tab.get_by_label("Show pictures that look the same once").uncheck()
    ask(tab, "a green wall")
    expect(cards(tab)).to_have_count(min(search.PAGE, NUM_PICTURES))
    for place in range(4):
        expect(cards(tab).nth(place).locator(".name")).to_have_text("a green wall")
    expect(cards(tab).nth(4).locator(".name")).not_to_have_text("a green wall")
    assert cards(tab).first.locator("img").evaluate("image => image.complete && image.naturalWidth") > 0
    cards(tab).first.get_by_text("Details").click()
    expect(cards(tab).first.locator("dl")).to_contain_text("64 × 48 px")
    while (more := tab.get_by_role("button", name="Show more")).is_visible():
        before = cards(tab).count()
        more.click()
        expect(cards(tab).nth(before)).to_be_visible()
    expect(cards(tab)).to_have_count(NUM_PICTURES)
    ids = cards(tab).locator("button").evaluate_all("buttons => buttons.map(button => button.dataset.id)")
    assert len(set(ids)) == NUM_PICTURES


def test_pictures_that_look_the_same_are_shown_once(tab: Page) -> None:
    ask(tab, "a green wall")
    expect(cards(tab)).to_have_count(len(COLOURS))
    cards(tab).first.get_by_text("Details").click()
    expect(cards(tab).first.locator("dl")).to_contain_text("3 more")


def test_a_picture_finds_those_like_it_and_a_hit_more_like_itself(tab: Page, tmp_path: Path) -> None:
    tab.get_by_label("Show pictures that look the same once").uncheck()
    (tmp_path / "wall.png").write_bytes(colour_png("blue", 99))
    tab.locator("#search-picture input[type=file]").set_input_files(tmp_path / "wall.png")
    tab.locator("#search-picture img").wait_for()
    tab.get_by_role("button", name="Search", exact=True).click()
    expect(cards(tab).first.locator(".name")).to_have_text("a blue wall")
    other = cards(tab).filter(has_text="a red wall").first.get_by_role("button")
    id = other.get_attribute("data-id")
    other.focus()
    tab.keyboard.press("Enter")
    expect(cards(tab).first.locator(".name")).to_have_text("a red wall")
    expect(tab.locator(f"#search-found button[data-id='{id}']")).to_have_count(0)  # it is like itself, and left out


def test_filters_leave_out_the_others_and_a_wrong_one_is_a_sentence(tab: Page) -> None:
    tab.get_by_label("Show pictures that look the same once").uncheck()
    tab.get_by_role("button", name="Only some pictures").click()
    expect(tab.get_by_text("Columns: id")).to_be_visible()
    tab.get_by_label("Made by").fill("red")
    ask(tab, "a green wall")
    expect(cards(tab)).to_have_count(4)
    tab.get_by_label("Made by").fill("nobody's")
    ask(tab, "a green wall")
    expect(tab.locator("#search-said")).to_contain_text("Nothing was found")
    tab.get_by_label("Condition, for experts").fill("nowhere = 1")
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("nowhere").last).to_be_visible()


def test_nothing_to_look_for_is_said(tab: Page) -> None:
    tab.get_by_role("button", name="Search", exact=True).click()
    expect(tab.get_by_text("Say what you are looking for, or give a picture.", exact=True)).to_be_visible()


def test_what_strangers_wrote_is_shown_and_does_nothing(tab: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = search.ask

    async def with_nasty_words(*args: Any) -> Any:
        page = await real(*args)
        page["hits"][0] |= {"caption": [NASTY], "generator": NASTY}
        return page

    monkeypatch.setattr(search, "ask", with_nasty_words)
    ask(tab, "a green wall")
    expect(cards(tab).first.locator(".name")).to_have_text(NASTY)
    cards(tab).first.get_by_text("Details").click()
    expect(cards(tab).first.locator("dl")).to_contain_text(NASTY)
    assert tab.evaluate("window.hurt") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways_on_a_phone(site: str, new_page: Callable[..., Page], scheme: str) -> None:
    phone = new_page(width=390, height=844, has_touch=True, is_mobile=True, color_scheme=scheme)
    phone.goto(site)
    phone.get_by_role("tab", name="Search").tap()
    ask(phone, "a green wall")
    cards(phone).first.wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    small = "all => all.filter(one => one.getBoundingClientRect().height < 40).map(one => one.outerHTML.slice(0, 99))"
    assert phone.locator("#search-found :is(button, summary)").evaluate_all(small) == []


def test_conditions_are_joined_and_quoted() -> None:
    assert search.condition("All", None, "", None, "") == ""
    assert search.condition("Genuine", "o'hara", "", "test", "width > 9 OR height > 9") == (
        "label = 0 AND generator = 'o''hara' AND split = 'test' AND (width > 9 OR height > 9)"
    )


def test_a_score_is_judged_only_where_there_is_something_to_judge_it_by() -> None:
    assert hits.strength_of(0.5, None) == ""
    assert hits.strength_of(0.5, 0.5) == ", a good match"
    assert hits.strength_of(0.4, 0.5) == ", a weak match"
