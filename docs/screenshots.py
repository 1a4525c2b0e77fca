"""Draw the pages of a built site in a browser: ``python -m docs.screenshots --site build/docs --out shots``.

Each page is drawn wide and narrow, light and dark. Listed as faults are pages that can be scrolled sideways, text that
is cut off, cells with a letter in a line, and images that could not be loaded. Tables and formulas that are wider than
the window scroll by themselves; they are counted, with all dropdowns open. Then the search box is tried. Needs Chromium
with its driver, a font with Hangul, and selenium.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

WIDTHS = {"wide": 1400, "narrow": 400}
TALLEST = 6000  # pixels of a picture
FAULTS = """
const root = document.documentElement, faults = [];
if (root.scrollWidth > root.clientWidth) faults.push(`${root.scrollWidth - root.clientWidth} pixels too wide`);
const isCut = text => text.scrollWidth > text.clientWidth + 1 || text.getBoundingClientRect().right > window.innerWidth;
for (const text of document.querySelectorAll("article :is(h1, h2, h3, p, dt)"))
    if (isCut(text) && !text.closest("table")) faults.push(`cut off: ${text.textContent.slice(0, 40)}`);
for (const box of document.querySelectorAll(".prev-next-area a, :has(> table.autosummary)"))
    if (isCut(box)) faults.push(`cut off: ${box.textContent.trim().slice(0, 40)}`);
for (const cell of document.querySelectorAll("article td"))
    if (cell.checkVisibility() && cell.clientWidth < 40 && cell.textContent.trim().length > 12)
        faults.push(`narrow cell: ${cell.textContent}`);
for (const image of document.images)
    if (image.complete && !image.naturalWidth) faults.push(`${image.src} is not loaded`);
return faults;
"""
WIDER = """
for (const dropdown of document.querySelectorAll("details")) dropdown.open = true;
const boxes = [...document.querySelectorAll("article :is(.pst-scrollable-table-container, .formula)")];
const wider = boxes.filter(box => box.scrollWidth > box.clientWidth + 1);
return wider.map(box => box.textContent.replace(/\\s+/g, " ").slice(0, 40));
"""
STILL = """
const rule = document.createElement("style");
rule.textContent = "* { transition: none !important }";
document.head.append(rule);
"""


def browser() -> webdriver.Chrome:
    """Start Chromium without a window; nothing is fetched from a network."""
    options = webdriver.ChromeOptions()
    for argument in ("headless=new", "no-sandbox", "hide-scrollbars", "allow-file-access-from-files"):
        options.add_argument(f"--{argument}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.binary_location = which("chromium")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(which("chromedriver")))


def show(driver: webdriver.Chrome, page: Path, width: int, mode: str) -> None:
    """Open a page with a width and a colour scheme, as high as its contents."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": mode}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(page.resolve().as_uri())
    height = driver.execute_script("return document.documentElement.scrollHeight")
    size["height"] = min(height, TALLEST)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_script(STILL)


def draw(driver: webdriver.Chrome, site: Path, page: Path, out: Path) -> Iterator[tuple[str, str]]:
    """Draw one page in all ways; yield its faults, and what scrolls by itself."""
    name = page.relative_to(site).with_suffix("").as_posix().replace("/", "_")
    for look, width in WIDTHS.items():
        for mode in ("light", "dark"):
            show(driver, page, width, mode)
            driver.save_screenshot(str(out / f"{name}-{look}-{mode}.png"))
            yield from (("fault", f"{name}, {look}, {mode}: {fault}") for fault in driver.execute_script(FAULTS))
        yield from (("wider", f"{name}, {look}, scrolls by itself: {text}") for text in driver.execute_script(WIDER))


def found(driver: webdriver.Chrome, site: Path, words: str) -> str:
    """Type words into the search box of the first page; return what the search says at its end."""
    show(driver, site / "index.html", WIDTHS["wide"], "light")
    driver.find_element(By.CSS_SELECTOR, ".bd-header .search-button__button").click()
    box = driver.find_element(By.CSS_SELECTOR, "#pst-search-dialog input[type=search]")
    WebDriverWait(driver, 10).until(expected_conditions.visibility_of(box))
    box.send_keys(words, Keys.ENTER)
    summary = (By.CSS_SELECTOR, "p.search-summary")
    WebDriverWait(driver, 60).until(expected_conditions.text_to_be_present_in_element(summary, "finished"))
    return driver.find_element(*summary).text


def main() -> None:
    """Draw the pages whose path contains one of the given words, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=Path("build/docs"))
    parser.add_argument("--out", type=Path, default=Path("build/screenshots"))
    parser.add_argument("words", nargs="*", default=[""])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pages = [page for page in sorted(arguments.site.rglob("*.html")) if "_static" not in page.parts]
    chosen = [page for page in pages if any(word in page.as_posix() for word in arguments.words)]
    with browser() as driver:
        lines = [line for page in chosen for line in draw(driver, arguments.site, page, arguments.out)]
        search = found(driver, arguments.site, "masking")
        driver.save_screenshot(str(arguments.out / "search-results.png"))
        korean = found(driver, arguments.site, "오토인코더")
    counts = {kind: sum(one == kind for one, _ in lines) for kind in ("fault", "wider")}
    print(*(text for _, text in lines), sep="\n")  # noqa: T201
    print(f"{len(chosen)} pages, {counts['fault']} faults, {counts['wider']} tables and formulas scroll.")  # noqa: T201
    print(f"masking: {search} 오토인코더: {korean}")  # noqa: T201


if __name__ == "__main__":
    main()
