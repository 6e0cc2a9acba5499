"""Records and published numbers → tables. Imports no Keras."""
