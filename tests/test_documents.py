"""The documents: their snippets run, and their links lead somewhere."""

import re
from collections import Counter
from pathlib import Path

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

ROOT = Path(__file__).parents[1]
PATHS = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if path.exists()]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
LONGEST = 160


def snippets(text):
    """Yield (number of lines above, source) of each Python block."""
    for block in BLOCK.finditer(text):
        if block[1] == "python":
            yield text.count("\n", 0, block.start(2)), block[2]


def prose(text):
    """The text without code: neither blocks nor spans, but with as many lines."""
    without_blocks = BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^    .*$", "", without_blocks, flags=re.MULTILINE))


def anchors(text):
    """Names that GitHub gives the headings of a document; the second of equal ones ends with -1."""
    headings = re.findall(r"^#+ (.+?)\s*$", BLOCK.sub("", text), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    seen = Counter()
    for slug in slugs:
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1


def run(name, text):
    """Execute the snippets of a document in their order, in one namespace, with the document's line numbers."""
    namespace = {"__name__": "__main__"}
    for n_above, source in snippets(text):
        exec(compile("\n" * n_above + source, name, "exec"), namespace)


def lost(name, text):
    """Links of a document that lead to no file, or to no heading of it."""
    for link in LINK.findall(prose(text)):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target
        if not path.exists() or (
            anchor and anchor not in anchors(path.read_text(encoding="utf-8") if target else text)
        ):
            yield link


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if any(snippets(text))])
def test_snippets_run(name):
    try:
        run(name, TEXTS[name])
    finally:
        plt.close("all")


def test_documents_with_snippets_are_found():
    assert {name for name, text in TEXTS.items() if any(snippets(text))} >= {"README.md", "docs/architecture.md"}


@pytest.mark.parametrize("fault", ["undefined_name", "from sk_autoencoder import Autoencodr", "None.fit()"])
def test_faults_in_snippets_are_found(fault):
    with pytest.raises((NameError, ImportError, AttributeError)):
        run("page.md", f"A page.\n\n```python\nx = 1\n```\n\n```python\nx\n{fault}\n```\n")


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    assert list(lost(name, TEXTS[name])) == []


def test_lost_links_are_found():
    found = "# One name, `twice`\n\n# One name twice\n\n[a](#one-name-twice) [b](#one-name-twice-1) `[c](none.md)`\n"
    missed = "[d](none.md) [e](README.md#none) [f](#none) ![g](none.png)\n"
    assert list(lost("README.md", found + missed)) == ["none.md", "README.md#none", "#none", "none.png"]


@pytest.mark.parametrize("name", TEXTS)
def test_lines_of_prose_can_be_scanned(name):
    lines = enumerate(TEXTS[name].split("\n"), start=1)
    assert [number for number, line in lines if len(line) > LONGEST and not line.startswith("|")] == []
