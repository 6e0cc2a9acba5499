"""Bytes on disk and what they say, knowing no benchmark.

Takes paths; gives pixels, head points, checksums and unpacked archives, or one `DataError` that names the file. Must not know
what a sample, a split or a method is.
"""
