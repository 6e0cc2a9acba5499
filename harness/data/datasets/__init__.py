"""One module a benchmark: a reader of its authors' files, and a writer of drawn scenes in the same layout."""
