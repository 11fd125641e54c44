"""The tab Mockup, as a person uses it."""

from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from gencv.provenance import stamp
from serving.web.faithful import words_of

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]  # the first test waits for the whole to start


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A red disc on white."""
    y, x = np.mgrid[-100:100, -100:100]
    image = np.full((200, 200, 3), 255, np.uint8)
    image[x**2 + y**2 < 80**2] = (200, 30, 40)
    Image.fromarray(image).save(tmp_path / "disc.png")
    return tmp_path / "disc.png"


@pytest.fixture
def tab(page: Page) -> Page:
    page.get_by_role("tab", name="Mockup").click()
    return page


def downloaded(page: Page) -> bytes:
    with page.expect_download() as download:
        page.locator("#mockup-files a[download]").click()
    return Path(download.value.path()).read_bytes()


def test_a_product_on_a_mug_and_in_a_scene(tab: Page, site: str, product: Path) -> None:
    tab.locator("#mockup-product input[type=file]").set_input_files(product)
    tab.get_by_label("mug: ").check()
    expect(tab.locator("#mockup-art")).to_be_visible()
    tab.get_by_label("Show all of it, with a margin").check()
    tab.get_by_role("button", name="Make it").click()
    expect(tab.locator("#mockup-files a[download]")).to_be_visible(timeout=60_000)
    expect(tab.locator("#mockup-said")).to_contain_text("DPI")
    expect(tab.locator("#mockup-pictures img")).to_have_count(2)
    mug = stamp.read(downloaded(tab)).to_dict()
    assert sorted(mug["found"]) == ["credentials", "parameters", "watermark"]
    assert mug["parameters"]["values"]["extras"]["fit"] == "contain"
    tab.get_by_label("studio: ").check()
    expect(tab.locator("#mockup-art")).to_be_hidden()
    tab.get_by_label("Seed").fill("3")
    tab.get_by_role("button", name="Make it").click()
    expect(tab.locator("#mockup-said")).to_contain_text("every pixel is as you gave it", timeout=60_000)
    answer = httpx2.post(f"{site}/v1/provenance/verify", files={"image": ("picture", downloaded(tab))}, timeout=60)
    assert answer.json()["parameters"]["values"]["extras"]["scene"]["name"] == "studio"


def test_what_is_missing_is_said(tab: Page, product: Path) -> None:
    tab.get_by_role("button", name="Make it").click()
    expect(tab.get_by_text("Give a picture of a product first.")).to_be_visible()
    tab.locator("#mockup-product input[type=file]").set_input_files(product)
    tab.locator("#mockup-product img").wait_for()
    tab.get_by_role("button", name="Make it").click()
    expect(tab.get_by_text("Choose where it goes.")).to_be_visible()


def test_figures_are_said_in_words() -> None:
    assert words_of({"interior_difference": 0, "halo": None, "dpi": 180.2}) == {
        "The product itself": "every pixel is as you gave it",
        "In print": "sharp in the hand (180 DPI)",
    }
    assert words_of({"interior_difference": 12, "coverage": 0.5}) == {
        "The product itself": "up to 12 of 255 levels away from what you gave",
        "Of the area is printed on": "50 %",
    }
    assert "coarse" in words_of({"dpi": 99})["In print"] and "fair" in words_of({"dpi": 100})["In print"]
