"""Draw the pages of a built site in a browser: ``python -m docs.screenshots --site build/docs --out shots``.

Each page is drawn wide and narrow, light and dark. Listed as faults are pages that can be scrolled sideways, text that
is cut off, cells with a letter in a line, and images that could not be loaded. Then the search box is tried. Needs
Chromium with its driver, a font with Hangul, and selenium.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from shutil import which

from selenium import webdriver
from selenium.webdriver.common.by import By
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


def draw(driver: webdriver.Chrome, site: Path, page: Path, out: Path) -> Iterator[str]:
    """Draw one page in all ways; yield its faults."""
    name = page.relative_to(site).with_suffix("").as_posix().replace("/", "_")
    for look, width in WIDTHS.items():
        for mode in ("light", "dark"):
            show(driver, page, width, mode)
            driver.save_screenshot(str(out / f"{name}-{look}-{mode}.png"))
            yield from (f"{name}, {look}, {mode}: {fault}" for fault in driver.execute_script(FAULTS))


def found(driver: webdriver.Chrome, site: Path, words: str) -> str:
    """Return what the search says at its end."""
    driver.get(f"{(site / 'search.html').resolve().as_uri()}?q={words}")
    summary = (By.CSS_SELECTOR, "p.search-summary")
    wait = WebDriverWait(driver, 60)
    wait.until(lambda shown: any(character.isdigit() for character in shown.find_element(*summary).text))
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
        faults = [fault for page in chosen for fault in draw(driver, arguments.site, page, arguments.out)]
        search = found(driver, arguments.site, "masking")
        driver.save_screenshot(str(arguments.out / "search-results.png"))
    print(*faults, f"{len(chosen)} pages, {len(faults)} faults. {search}", sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
