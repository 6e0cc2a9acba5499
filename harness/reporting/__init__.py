"""Records and published numbers → tables, figures and a page.

Takes records; gives markdown, HTML, CSV and JSON that are the same for the same records. Must not import Keras, read a dataset
or run anything.
"""
