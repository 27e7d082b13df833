"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import taskloom

project = "Taskloom"
author = "the Taskloom authors"
version = release = taskloom.__version__
copyright = f"2026, {author}"  # Sphinx requires this name

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"Taskloom {version}"
# No resources from other hosts.
html_theme_options = {"source_repository": "", "top_of_page_buttons": []}


def setup(app: Sphinx) -> None:
    """Show mermaid diagrams as source, since drawing them would need a script from another host."""
    app.add_lexer("mermaid", TextLexer)
