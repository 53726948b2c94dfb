"""Configuration of Sphinx for the site, which `docs/site/build.py` puts together."""

project = "kerasexplain"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_title = "kerasexplain"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
# Links within pages are those of GitHub.
myst_heading_anchors = 5
# Diagrams in text need no colours, and what a reader sees is not ours to guess.
highlight_language = "none"
# Quotes in prose are often those of Python.
smartquotes = False
