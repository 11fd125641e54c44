"""The tab Check, as a person uses it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import picture, write_pictures
from PIL import Image
from playwright.sync_api import Page, expect

from gencv.core.record import picture_id
from gencv.provenance.parameters import Parameters
from gencv.provenance.stamp import stamp

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]  # the first test waits for the whole to start


def check(page: Page, *files: Any) -> None:
    page.locator("#check-pictures input[type=file]").set_input_files(list(files))
    expect(page.locator("#check-pictures img")).to_have_count(len(files))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#check-results .card")).to_have_count(len(files))
    expect(page.locator("#check-results .busy")).to_have_count(0)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side
    exif[0x010E] = "as the camera wrote it"
    return exif


def test_a_picture_gets_a_verdict_in_words(page: Page, tmp_path: Path) -> None:
    expect(page.locator("#check-results")).to_contain_text("Give one or more pictures")
    check(page, *write_pictures(tmp_path, 1))
    card = page.locator("#check-results .card")
    expect(card.locator(".headline")).to_contain_text("Looks")
    expect(card.get_by_role("meter", name="Score")).to_be_visible()
    expect(card).to_contain_text("of 100 real pictures about 10 are called generated")
    expect(card).to_contain_text("The file says nothing of where it comes from")
    expect(card.locator("pre")).to_be_hidden()
    card.get_by_text("Details").click()
    expect(card.locator("pre")).to_contain_text("threshold_id")


def test_what_is_judged_is_the_very_file(page: Page) -> None:
    image = Image.fromarray(picture(3))
    alpha = Image.fromarray(np.dstack([picture(4), np.full((72, 96), 90, np.uint8)]))
    files = {
        "turned.jpg": ("image/jpeg", saved(image, "JPEG", exif=turned())),
        "glass.png": ("image/png", saved(alpha, "PNG")),
        "small.webp": ("image/webp", saved(image, "WEBP", quality=60)),
    }
    check(page, *({"name": name, "mimeType": kind, "buffer": data} for name, (kind, data) in files.items()))
    for card, data in zip(page.locator("#check-results .card").all(), files.values(), strict=True):
        card.get_by_text("Details").click()
        expect(card.locator("pre")).to_contain_text(f'"id": "{picture_id(data[1])}"')


def test_why_shows_a_map_and_the_nearest_pictures(page: Page, tmp_path: Path) -> None:
    page.get_by_role("button", name="Options").click()
    page.get_by_label("Where the detector looks").check()
    page.get_by_label("The nearest pictures that it knows").check()
    check(page, *write_pictures(tmp_path, 1, first=90))
    card = page.locator("#check-results .card")
    expect(card.get_by_alt_text("Map of where the detector looks")).to_be_visible()
    expect(card.locator(".nearest").first.locator("img")).to_have_count(3)
    expect(card.locator(".nearest")).to_have_count(2)


def test_what_a_file_says_of_itself_is_shown_and_does_nothing(page: Page) -> None:
    does = "document.title='taken'"
    evil = f'<img src=x onerror="{does}"><script>{does}</script>${{{does}}}'
    data = stamp(picture(5, 256, 192), Parameters(prompt=evil, seed=7), credentials=False)
    check(page, {"name": "<b onclick=x>painted.png", "mimeType": "image/png", "buffer": data})
    card = page.locator("#check-results .card")
    expect(card).to_contain_text("The invisible mark of gencv is in it")
    card.get_by_text("What it says in full").click()
    expect(card.locator(".facts")).to_contain_text(evil)
    expect(page).to_have_title("gencv")
    expect(card.locator("header b")).to_have_count(0)


def test_what_is_no_picture_is_a_sentence_beside_the_others(page: Page, tmp_path: Path) -> None:
    (good,) = write_pictures(tmp_path, 1)
    bad = tmp_path / "cut.jpg"
    bad.write_bytes(good.read_bytes()[:400])
    check(page, good, bad)
    first, second = page.locator("#check-results .card").all()
    expect(first.locator(".headline")).to_be_visible()
    expect(second.get_by_role("alert")).to_be_visible()
    expect(page.locator("#check-feedback-picture")).to_be_hidden()


def test_the_camera_takes_one(page: Page) -> None:
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function(
        "(document.querySelector('#check-pictures video')?.videoWidth ?? 0) > 0"
    )  # or nothing is taken
    page.get_by_role("button", name="capture photo").click()
    expect(page.locator("#check-pictures img")).to_have_count(1)
    expect(page.get_by_role("button", name="Take a picture")).to_be_visible()
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.locator("#check-results .headline")).to_be_visible()


def test_without_a_picture_a_sentence_says_so(page: Page) -> None:
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("Give a picture first.")).to_be_visible()


def test_a_correction_stands_in_the_history(page: Page, tmp_path: Path) -> None:
    (path,) = write_pictures(tmp_path, 1, first=50)
    check(page, path)
    page.locator("#check-feedback").get_by_label("It is generated").check()
    page.locator("#check-feedback").get_by_label("Note").fill("I made it")
    page.locator("#check-feedback").get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved, for the next training")).to_be_visible()
    page.get_by_role("tab", name="History").click()
    newest = page.locator("#history-rows li").first
    expect(newest).to_contain_text(picture_id(path.read_bytes())[:8])
    expect(newest).to_contain_text("a person says generated")


def test_of_several_detectors_some_are_chosen(
    new_site: Callable[..., Any], new_page: Callable[..., Page], tmp_path: Path
) -> None:
    with new_site(bundles=("one", "two")) as address:
        page = new_page()
        page.goto(address)
        page.get_by_role("button", name="Options").click()
        pictures = write_pictures(tmp_path, 1)
        check(page, *pictures)
        expect(page.locator("#check-results .verdict h4")).to_have_text(["one", "two"])
        page.get_by_label("one", exact=True).uncheck()
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("#check-results .verdict")).to_have_count(1)
        expect(page.locator("#check-results .verdict")).to_contain_text("Detector two")
        page.close()
