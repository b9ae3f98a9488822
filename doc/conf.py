"""Sphinx: plain pages in Markdown, the theme that comes with Sphinx, every warning an error (make doc)."""

from stackmend import __version__

project = "stackmend"
author = "the stackmend authors"
project_copyright = "the stackmend authors; Apache License 2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "alabaster"
html_theme_options = {
    "description": "OpenStack's recovery procedures as persisted, resumable flows",
    "fixed_sidebar": True,
    "page_width": "1080px",
    "sidebar_width": "240px",
}
html_show_sourcelink = False
