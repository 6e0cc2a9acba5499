"""Finds plugins, asks each what it adds, and names what is wrong with one.

Takes entry points and files; gives a `Host` of methods, benchmarks and metrics by name. Must not know any method by name, nor
train, measure or report.
"""
