"""One module a benchmark. The host finds them as it finds anybody's: through the hook `harness_benchmarks`."""
