"""Sphinx configuration: API reference by numpydoc, gallery by sphinx-gallery, pages in Markdown by MyST.

Nothing is fetched from a network, neither when the pages are built nor when they are read: there are no inventories of
other projects, and formulas are MathML, which browsers draw themselves.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import sk_autoencoder
from docs.site import LINKS

project = "sk_autoencoder"
author = project_copyright = "the developers of sk_autoencoder"
version = release = sk_autoencoder.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "docs.site",
]
exclude_patterns = ["examples", "_templates"]
templates_path = ["_templates"]

# Headings have the anchors that GitHub gives them, so that links work in both places.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

# Types are those of the docstrings, not those of the annotations. Names of public classes in them are links.
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {name: path for name, path in LINKS.items() if "." not in name}

# References to other projects lead nowhere without their inventories.
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|scipy|sklearn|torch|skorch|pandas|polars|matplotlib|joblib)\..*"),
]

smartquotes = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "sk_autoencoder"
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "navigation_with_keys": False,
}

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "docs.site.gallery_order",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("sk_autoencoder",),
    "reference_url": {"sk_autoencoder": None},
    "inspect_global_variables": True,
    "download_all_examples": False,
    "show_signature": False,
    "parallel": True,
    "abort_on_example_error": True,
    "write_computation_times": False,
}
