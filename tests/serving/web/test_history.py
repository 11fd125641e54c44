"""The tab History, as a person uses it."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fakes import write_pictures
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]
COUNT = 23


@pytest.fixture(scope="module")
def judged(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Ids of pictures that were checked, the last one first."""
    paths = write_pictures(tmp_path_factory.mktemp("judged"), COUNT, first=200)
    with httpx2.Client(base_url=site, trust_env=False) as client:
        ids = [check(client, path) for path in paths]
    yield ids[::-1]


def check(client: httpx2.Client, path: Path) -> str:
    answer = client.post("/spoof/v1/check", files={"image": path.read_bytes()}, data={"reencode": False})
    verdict: str = answer.json()["results"][0]["id"]
    return verdict


def open_history(page: Page) -> None:
    page.get_by_role("tab", name="History").click()
    expect(page.locator("#history-rows li")).to_have_count(20)


def shown(page: Page) -> list[str]:
    return page.locator("#history-rows code").all_text_contents()


def test_verdicts_come_newest_first_in_pages(page: Page, judged: list[str]) -> None:
    open_history(page)
    assert shown(page) == [id[:8] for id in judged[:20]]
    page.get_by_role("button", name="Older").click()
    expect(page.locator("#history-rows code").first).to_have_text(judged[20][:8])
    page.get_by_role("button", name="Newer").click()
    expect(page.locator("#history-rows code").first).to_have_text(judged[0][:8])
    expect(page.get_by_role("button", name="Newer")).to_be_disabled()


def test_times_are_those_of_the_browser(site: str, new_page: object, judged: list[str]) -> None:
    page = new_page(timezone_id="Asia/Tokyo")  # type: ignore[operator]
    page.goto(site)
    open_history(page)
    expect(page.locator("#history-rows time").first).to_contain_text("JST")


def test_a_filter_shows_one_kind_of_verdict(page: Page, judged: list[str]) -> None:
    open_history(page)
    filter_by(page, "live")  # which this detector never says
    expect(page.locator("#history-rows")).to_contain_text("No verdicts yet that fit")
    filter_by(page, "real")
    expect(page.locator("#history-rows strong").first).to_have_text("real")
    assert set(page.locator("#history-rows strong").all_text_contents()) == {"real"}


def filter_by(page: Page, label: str) -> None:
    page.locator("#history-label input").click()
    page.get_by_role("option", name=label, exact=True).click()


def test_a_row_is_corrected_exported_and_forgotten(page: Page, judged: list[str]) -> None:
    open_history(page)
    page.locator("#history-rows button").first.press("Enter")
    row = page.locator("#history-row")
    expect(row).to_contain_text(judged[0])
    expect(row).to_contain_text("Nobody has corrected it.")
    page.locator("#history-feedback").get_by_label("It is real").check()
    note = page.locator("#history-feedback").get_by_label("Note")
    note.fill("=1+1 <b>mine</b>")
    note.press("Enter")
    expect(row).to_contain_text("=1+1 <b>mine</b>")
    expect(page.locator("#history-rows li").first).to_contain_text("a person says real")

    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [line["picture_id"] for line in table[:COUNT]] == judged and table[0]["corrected"] == "real"
    with page.expect_download() as download:
        page.get_by_role("button", name="Export JSONL").click()
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert [line["id"] for line in lines] == [line["id"] for line in table]

    page.get_by_role("button", name="Forget this picture").click()
    page.get_by_role("button", name="No, keep them").click()
    expect(page.get_by_role("button", name="Yes, delete them")).to_be_hidden()
    page.get_by_role("button", name="Forget this picture").click()
    page.get_by_role("button", name="Yes, delete them").click()
    expect(page.locator("#history-rows code").first).to_have_text(judged[1][:8])
    expect(row).not_to_contain_text(judged[0])
