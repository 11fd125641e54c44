"""The page as a whole: who gets in, what leaves it, and whether everybody can use it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fakes import write_pictures
from playwright.sync_api import Page, expect

from gencv.core.record import picture_id
from serving.door import Door, digest_of

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]
TABS = ("Check", "Search", "Create", "Mockup", "History")


@pytest.fixture(scope="module")
def locked(new_site: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a site with two keys, and 1 MB for a request."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    scopes = {"for-all": ["web", "spoof", "search", "diffusion"], "for-spoof": ["web", "spoof"]}
    lines = [{"name": name, "sha256": digest_of(name), "scopes": opens} for name, opens in scopes.items()]
    keys.write_text("\n".join(map(json.dumps, lines)))
    with new_site(door=Door(keys_path=str(keys), max_body_mb=1)) as address:
        yield address


def sign_in(page: Page, address: str, key: str) -> None:
    page.goto(address)
    page.get_by_label("API key").fill(key)
    page.get_by_label("API key").press("Enter")


def test_a_person_signs_in_works_and_signs_out(locked: str, new_page: Callable[..., Page], tmp_path: Path) -> None:
    page = new_page()
    sign_in(page, locked, "nobodys")
    expect(page.get_by_role("alert")).to_have_text("That key opens nothing here, or not any more.")
    sign_in(page, locked, "for-all")
    page.locator("#check-pictures input[type=file]").set_input_files(write_pictures(tmp_path, 1))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#check-results .headline")).to_be_visible()
    for name in TABS:
        expect(page.locator(f"#{name.lower()}-shut")).to_be_hidden()
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto(locked)
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_tab_that_the_key_does_not_open_says_so(locked: str, new_page: Callable[..., Page]) -> None:
    page = new_page()
    sign_in(page, locked, "for-spoof")
    page.get_by_role("tab", name="Search").click()
    expect(page.locator("#search-shut")).to_have_text("This key is not for search. Nothing in this tab works.")
    page.get_by_role("tab", name="Create").click()
    expect(page.locator("#create-shut")).to_contain_text("not for diffusion")
    page.get_by_role("tab", name="Check").click()
    expect(page.locator("#check-shut")).to_be_hidden()


def test_who_needs_no_key_has_nothing_to_sign_out_of(page: Page) -> None:
    expect(page.get_by_role("link", name="Sign out")).to_have_count(0)


def test_too_large_an_upload_is_refused_at_the_door(locked: str) -> None:
    with httpx2.Client(base_url=locked, headers={"x-api-key": "for-all"}, trust_env=False) as client:
        files = {"files": ("large.png", b"x" * 2**20)}
        assert client.post("/gradio_api/upload", files=files).status_code == 413
        assert client.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 200
    assert httpx2.post(f"{locked}/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 401


def test_no_file_of_the_server_is_reachable(site: str, tmp_path: Path) -> None:
    (mine,) = write_pictures(tmp_path, 1)
    with httpx2.Client(base_url=site, trust_env=False) as client:
        given = client.post("/gradio_api/upload", files={"files": ("../../up.png", mine.read_bytes())}).json()[0]
        assert client.get(f"/gradio_api/file={given}").content == mine.read_bytes() and "/.." not in given
        for path in (mine, Path(__file__), "/etc/passwd", f"{Path(given).parent}/../../../../etc/passwd"):
            answer = client.get(f"/gradio_api/file={path}")
            assert answer.status_code in (403, 404) and b"root:" not in answer.content, path
        joined = {"data": [[{"image": {"path": str(mine), "meta": {"_type": "gradio.FileData"}}}], [], [], []]}
        config = json.loads(client.get("/").text.partition("window.gradio_config = ")[2].partition(";</script>")[0])
        judge = next(one["id"] for one in config["dependencies"] if one["api_name"].startswith("judge"))
        asked = {**joined, "fn_index": judge, "session_hash": "a1b2c3"}
        assert client.post("/gradio_api/queue/join", json=asked).status_code == 200
        with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "a1b2c3"}) as events:
            told = next(line for line in events.iter_lines() if "process_completed" in line)
        assert json.loads(told.removeprefix("data: "))["success"] is False
        assert picture_id(mine.read_bytes()) not in told
        assert {one["api_visibility"] for one in config["dependencies"]} <= {"private"}
        assert not config["run_history"] and not config["analytics_enabled"]


def test_on_a_phone_nothing_scrolls_sideways_and_fingers_hit(
    site: str, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page(width=390, height=844, has_touch=True, is_mobile=True)
    page.goto(site)
    page.locator("#check-pictures input[type=file]").set_input_files(write_pictures(tmp_path, 2))
    page.get_by_role("button", name="Options").tap()
    page.get_by_role("button", name="Check", exact=True).tap()
    expect(page.locator("#check-results .headline")).to_have_count(2)
    for name in TABS:
        page.get_by_role("tab", name=name).tap()
        expect(page.get_by_role("tab", name=name, selected=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        assert page.evaluate(SMALL) == [], name


SMALL = """() => [...document.querySelectorAll('button, a, summary, select, textarea, input:not([type=file])')]
  .filter((one) => one.checkVisibility({visibilityProperty: true, opacityProperty: true}))
  .map((one) => one.closest('label') ?? one)
  .map((one) => [one.outerHTML.slice(0, 120), one.getBoundingClientRect()])
  .filter(([, box]) => box.width > 1 && (box.width < 40 || box.height < 40))
  .map(([what, box]) => `${what} ${box.width} x ${box.height}`)"""
"""What can be pressed and is less than 40 px wide or high, with its label where it has one."""


def test_a_keyboard_alone_is_enough(page: Page, tmp_path: Path) -> None:
    page.locator("#check-pictures input[type=file]").set_input_files(write_pictures(tmp_path, 1))
    expect(page.locator("#check-pictures img")).to_have_count(1)
    page.get_by_role("tab", name="Check").focus()
    walked = []
    while (name := page.evaluate(FOCUSED)) != "Check button":
        assert len(walked) < 30, walked
        walked.append(name)
        page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.keyboard.press("Enter")
    expect(page.locator("#check-results .headline")).to_be_visible()


FOCUSED = """() => {
  const one = document.activeElement;
  const name = one.innerText?.trim() || one.ariaLabel || one.title;
  return one.id === 'check-button' || one.closest('#check-button') ? 'Check button' : `${one.tagName} ${name}`;
}"""


def test_every_control_has_a_name(page: Page) -> None:
    page.get_by_role("button", name="Options").click()
    for name in TABS:
        page.get_by_role("tab", name=name).click()
        assert page.evaluate(NAMELESS) == [], name


NAMELESS = """() => [...document.querySelectorAll('button, a, input:not([type=file]), textarea, select')]
  .filter((one) => one.checkVisibility({visibilityProperty: true}))
  .filter((one) => !(one.ariaLabel || one.labels?.length || one.innerText?.trim() || one.title))
  .map((one) => one.outerHTML.slice(0, 160))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_in_the_dark(
    site: str, new_page: Callable[..., Page], tmp_path: Path, scheme: str
) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(site)
    expect(page.locator("#check-results .empty")).to_be_visible()
    low = page.evaluate(CONTRAST, "#head p, #check-results .empty, #check-button, [role=tab]")
    page.locator("#check-pictures input[type=file]").set_input_files(write_pictures(tmp_path, 1))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#check-results .headline")).to_be_visible()
    low += page.evaluate(CONTRAST, "#check-results p, #check-results h4, #check-results summary, .headline .icon")
    assert low == []


CONTRAST = """(selector) => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
    return [one.outerHTML.slice(0, 80), (a + .05) / (b + .05)];
  }).filter(([, ratio]) => ratio < 4.5);
}"""
"""What stands out from its ground by less than 4.5 to 1 (WCAG 2.2, 1.4.3)."""
