"""What the site adds to Sphinx: formulas as MathML, links between pages and gallery, the order of the gallery."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from numpydoc.xref import DEFAULT_LINKS
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx_gallery.sorting import ExplicitOrder

from docs.public import PUBLIC

ORDER = [
    *("basic_and_deep", "linear_and_pca", "denoising", "manifolds", "sparse", "stacked", "convolutional", "scaling"),
    *("variational", "latent_maps", "classifier_codes", "few_labels", "few_targets", "transfer", "search"),
    *("outliers", "neighborhoods", "one_class", "thresholds", "time_series", "machines"),
    *("recurrent", "attention", "span_masking", "missing_values", "sample_weights"),
]
# Examples that are not listed come last.
gallery_order = ExplicitOrder([*(f"plot_{name}.py" for name in ORDER), "*"])

# Ways in which pages write a public name: with the package, with the module, or alone where this is not ambiguous.
SHORT = Counter(path.rpartition(".")[2] for path in PUBLIC)
LINKS = {path: path for path in PUBLIC} | {path.partition(".")[2]: path for path in PUBLIC}
LINKS |= {name: path for path in PUBLIC if SHORT[name := path.rpartition(".")[2]] == 1}

# Tables with so many columns of figures are narrow in narrow windows.
MIN_FIGURES = 3


def is_figure(text: str) -> bool:
    """Whether the text of a cell is one or two numbers, such as "77.94/39.89" or "+.2 ± .3", or empty."""
    return not text or (len(text) <= 16 and re.match(r"[-+.<>=\s]*\d", text) is not None)


def write_formula(writer: Any, node: nodes.Node) -> None:
    """Write a formula as MathML, which browsers draw without a script."""
    as_block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=as_block)
    writer.body.append(f'<div class="formula">{formula}</div>' if as_block else formula)
    raise nodes.SkipNode


def link_to_gallery(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to the source of examples, which work on GitHub, lead to their pages in the gallery."""
    text = re.sub(r"(\]\([\w./]*)examples/(plot_\w+)\.py\)", r"\1gallery/\2.rst)", source[0])
    source[0] = text.replace("examples/GALLERY_HEADER.rst)", "gallery/index.rst)")


def link_in_included(app: Sphinx, path: Path, parent: str, source: list[str]) -> None:
    """Do the same in a file that a page includes."""
    link_to_gallery(app, parent, source)


class PublicNames(SphinxTransform):
    """Let code that is a public name, ``Dense`` or ``networks.Dense(...)``, lead to its entry in the API reference."""

    default_priority = 210  # before references are resolved

    def apply(self, **kwargs: Any) -> None:
        """Put a reference around each such piece of code that stands in running text."""
        for code in list(self.document.findall(nodes.literal)):
            path = LINKS.get(code.astext().partition("(")[0])
            if path and not isinstance(code.parent, nodes.title | nodes.reference | pending_xref):
                link = pending_xref(refdomain="py", reftype="obj", reftarget=path, refexplicit=False, refwarn=True)
                code.replace_self(link)
                link += code


class TablesOfFigures(SphinxTransform):
    """Give tables with several columns of figures the class ``figures``, so that narrow windows can show them whole.

    The cells of these columns, with their titles, have the class ``number``, and all other ones ``name``.
    """

    default_priority = 210

    def apply(self, **kwargs: Any) -> None:
        """Find the columns in which most cells are figures, or empty."""
        for table in self.document.findall(nodes.table):
            columns = list(zip(*table.findall(nodes.row), strict=True))
            of_figures = [2 * sum(is_figure(cell.astext()) for cell in cells) > len(cells) for _, *cells in columns]
            if sum(of_figures) >= MIN_FIGURES:
                table["classes"].append("figures")
                for column, chosen in zip(columns, of_figures, strict=True):
                    for cell in column:
                        cell["classes"].append("number" if chosen else "name")


def clean_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Adapt a docstring to Sphinx, after numpydoc.

    References to scikit-learn's user guide, and names with a trailing underscore in shapes, become plain text. Those
    to the literature, of which each begins with the initials of an author, become a list. Versions of scikit-learn, in
    docstrings of its methods, are left out.
    """
    text = re.sub(r":(?:ref|term):`([^`<]+?)\s*<[^`>]+>`", r"\1", "\n".join(lines))
    text = re.sub(r":term:`([^`]+)`", r"\1", re.sub(r":ref:`[^`]+`", "scikit-learn's user guide", text))
    text = re.sub(r"of shape \([^)]*\)", lambda shape: re.sub(r"_(?=[,)])", r"\\_", shape[0]), text)
    before, rubric, after = text.partition(".. rubric:: References\n")
    references, *others = re.split(r"(?=^\.\. )", after, maxsplit=1, flags=re.MULTILINE)
    references = re.sub(r"^(?=\S)(?![A-Z]\.(?:-[A-Z]\.)? )", "  ", references, flags=re.MULTILINE)
    references = re.sub(r"^([A-Z])(?=\.(?:-[A-Z]\.)? )", r"- \1\\", references, flags=re.MULTILINE)
    text = before + rubric + references + "".join(others)
    lines[:] = re.sub(r"^( *)\.\. versionadded::.*\n(?:\1 .*\n)*", "", text, flags=re.MULTILINE).split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the functions of this module."""
    DEFAULT_LINKS.clear()  # types of Python and numpy are plain text
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.add_transform(PublicNames)
    app.add_transform(TablesOfFigures)
    app.connect("source-read", link_to_gallery)
    app.connect("include-read", link_in_included)
    app.connect("autodoc-process-docstring", clean_docstring, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
