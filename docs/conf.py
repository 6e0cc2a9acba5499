"""Sphinx configuration: `sphinx-build -W docs docs/_build` (warnings are errors)."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

project = "crowd-harness"
author = "The crowd-harness developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "crowd-harness"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports = ["keras", "tensorflow", "cv2", "scipy", "h5py", "safetensors"]
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]
html_show_copyright = False
