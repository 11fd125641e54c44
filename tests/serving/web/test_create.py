"""The tab Create, as a person uses it, with the starter painter."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import numpy as np
import pytest
from fakes import picture
from PIL import Image
from playwright.sync_api import Page, expect

from gencv.images.decode import decode
from gencv.provenance import stamp
from serving.web.mask import mask_of
from serving.web.painting import progress_of
from serving.web.sweep import lists_of

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]  # the first test waits for the whole to start
PIG = "a pink pig on a white background"


@pytest.fixture
def tab(page: Page) -> Page:
    page.get_by_role("tab", name="Create").click()
    unfold(page, "more")
    page.get_by_label("Steps").fill("4")
    return page


def unfold(page: Page, name: str) -> None:
    page.locator(f"#create-{name} .label-wrap").click()


def finished(page: Page) -> list[bytes]:
    """Wait for pictures and download them."""
    links = page.locator("#create-files a[download]")
    expect(links.first).to_be_visible(timeout=60_000)
    files = []
    for link in links.all():
        with page.expect_download() as download:
            link.click()
        files.append(Path(download.value.path()).read_bytes())
    return files


def marks(site: str, data: bytes) -> list[str]:
    answer = httpx2.post(f"{site}/v1/provenance/verify", files={"image": ("picture", data)}, timeout=60)
    found: list[str] = answer.json()["found"]
    return found


def test_words_become_marked_pictures_and_a_seed_makes_the_same_again(tab: Page, site: str) -> None:
    tab.get_by_label("What should be seen?").fill(PIG)
    tab.keyboard.press("Enter")
    (first,) = finished(tab)
    assert sorted(marks(site, first)) == ["credentials", "parameters", "watermark"]
    expect(tab.locator("#create-said")).to_contain_text("signed credentials, an invisible watermark")
    tab.get_by_role("button", name="Again with this seed").click()
    seed = re.search(r"seed-(\d+)\.png", tab.locator("#create-files").inner_text().replace("\n", ""))
    assert seed
    expect(tab.locator("#create-seed :is(input, textarea)")).to_have_value(seed[1])
    tab.get_by_role("button", name="Create", exact=True).click()
    expect(tab.locator("#create-progress progress")).to_be_visible()
    expect(tab.locator("#create-progress progress")).to_be_hidden(timeout=60_000)
    (second,) = finished(tab)
    assert np.array_equal(decode(first), decode(second))


def test_a_brushed_part_of_the_very_picture_is_painted_anew(tab: Page, site: str, tmp_path: Path) -> None:
    start = tmp_path / "start.png"
    Image.fromarray(picture(1, 256, 256)).save(start)
    tab.get_by_label("What should be seen?").fill(PIG)
    tab.get_by_label("Size").fill("256x256")
    tab.keyboard.press("Enter")
    unfold(tab, "start")
    tab.locator("#create-picture input[type=file]").set_input_files(start)
    canvas = tab.locator("#create-mask canvas").first
    canvas.scroll_into_view_if_needed()
    expect(tab.locator("#create-mask")).to_contain_text("%")  # of its size: it is there
    tab.wait_for_timeout(500)
    box = canvas.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x - 20, y)
    tab.mouse.down()
    tab.mouse.move(x + 20, y, steps=8)
    tab.mouse.up()
    tab.get_by_role("button", name="Create", exact=True).click()
    (painted,) = finished(tab)
    is_changed = (decode(painted) != decode(start.read_bytes())).any(-1)
    assert 0.001 < is_changed.mean() < 0.5  # within the brush, and nowhere else
    assert not is_changed[:40].any()


def num_ahead(site: str) -> int:
    """Return how many pictures the painter would paint before the next one."""
    request = {"prompt": PIG, "num_inference_steps": 1, "stream": True}
    with httpx2.stream("POST", f"{site}/v1/images/generations", json=request, timeout=60) as answer:
        return int(next(answer.iter_lines()).rpartition(" ")[2])


def test_stop_stops(tab: Page, site: str) -> None:
    tab.get_by_label("How many").fill("10")
    tab.get_by_label("Steps").fill("100")
    tab.get_by_label("What should be seen?").fill(PIG)
    tab.keyboard.press("Enter")
    expect(tab.locator("#create-progress progress[max]")).to_be_visible()
    tab.get_by_role("button", name="Stop", exact=True).click()
    expect(tab.locator("#create-progress")).to_contain_text("Stopped.")
    tab.wait_for_timeout(1000)
    expect(tab.locator("#create-progress")).to_contain_text("Stopped.")
    expect(tab.locator("#create-files a")).to_have_count(0)
    assert 0 in (num_ahead(site) for _ in range(10))  # ten pictures of a hundred steps would take far longer


def test_a_comparison_is_painted_as_a_job_with_a_sheet(tab: Page, site: str) -> None:
    tab.get_by_label("What should be seen?").fill(PIG)
    unfold(tab, "compare")
    tab.locator("#create-guidances :is(input, textarea)").fill("1, 4")
    tab.locator("#create-seeds :is(input, textarea)").fill("7 8")
    tab.locator("#create-compare-button").click()
    expect(tab.locator("#create-files")).to_contain_text("comparison", timeout=60_000)
    files = finished(tab)
    assert len(files) == 5
    seeds = [stamp.read(data).to_dict()["parameters"]["values"]["seed"] for data in files[:4]]
    assert sorted(seeds) == [7, 7, 8, 8]
    (job,) = httpx2.get(f"{site}/v1/jobs", params={"limit": 1}).json()["data"]
    assert (job["kind"], job["status"], job["progress"]["done"]) == ("sweep", "succeeded", 4)


def test_stop_cancels_the_job_of_a_comparison(tab: Page, site: str) -> None:
    tab.get_by_label("Steps").fill("100")
    tab.get_by_label("What should be seen?").fill(PIG)
    unfold(tab, "compare")
    tab.locator("#create-seeds :is(input, textarea)").fill(", ".join(map(str, range(40))))
    tab.locator("#create-compare-button").click()
    expect(tab.locator("#create-progress")).to_contain_text("of 40 pictures")
    tab.get_by_role("button", name="Stop", exact=True).click()
    expect(tab.locator("#create-progress")).to_contain_text("Stopped.")
    (job,) = httpx2.get(f"{site}/v1/jobs", params={"limit": 1}).json()["data"]
    assert job["status"] == "cancelled" and job["progress"]["done"] < 40


def test_mistakes_are_sentences(tab: Page) -> None:
    tab.get_by_role("button", name="Create", exact=True).click()
    expect(tab.get_by_text("Say what should be seen.", exact=True)).to_be_visible()
    tab.get_by_label("Steps").fill("5000")
    tab.get_by_label("What should be seen?").fill(PIG)
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("at most 100 are accepted")).to_be_visible()
    expect(tab.locator("#create-progress progress")).to_be_hidden()
    unfold(tab, "compare")
    tab.locator("#create-guidances :is(input, textarea)").fill("two, three")
    tab.locator("#create-compare-button").click()
    expect(tab.get_by_text("numbers with commas between them are accepted")).to_be_visible()


def test_nothing_scrolls_sideways_on_a_phone(site: str, new_page: Callable[..., Page]) -> None:
    phone = new_page(width=390, height=844, has_touch=True, is_mobile=True)
    phone.goto(site)
    phone.get_by_role("tab", name="Create").tap()
    for fold in ("start", "more", "compare"):
        unfold(phone, fold)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_mask_is_of_the_picture_as_it_is_seen(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side
    Image.fromarray(picture(1, 96, 72)).save(tmp_path / "turned.jpg", exif=turned)
    layer = Image.new("RGBA", (36, 48))
    assert mask_of({"layers": [layer]}, str(tmp_path / "turned.jpg")) is None
    layer.paste((225, 29, 72, 255), (0, 0, 18, 24))
    mask = mask_of({"layers": [layer]}, str(tmp_path / "turned.jpg"))
    assert mask
    alpha = np.asarray(Image.open(io.BytesIO(mask)))[..., 3]
    assert alpha.shape == (96, 72)
    assert (alpha[:44, :32] == 0).all() and (alpha[52:] == 255).all() and (alpha[:, 40:] == 255).all()


def test_lists_are_read_as_people_write_them() -> None:
    assert lists_of("", "2, 5;8", None) == {"guidance_scale": [2, 5, 8]}
    assert lists_of(".3 .6", None, "1,2") == {"strength": [0.3, 0.6], "seed": [1, 2]}


def test_progress_says_where_it_is() -> None:
    assert 'value="3" max="30"' in progress_of("step 3/30") and "Step 3 of 30." in progress_of("step 3/30")
    assert "come first: 2." in progress_of("accepted; pictures ahead: 2")
    assert "Painting begins." in progress_of("accepted; pictures ahead: 0")
