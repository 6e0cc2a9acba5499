"""Where modules lay in the first edition: `from harness.density import render` still works in people's scripts.

Each file here only points to its module's room; `harness/__init__.py` adds this folder to the package's path. Nothing in the
project uses them.
"""
