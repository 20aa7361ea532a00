"""Methods measured on benchmarks, and what is made of the results."""
