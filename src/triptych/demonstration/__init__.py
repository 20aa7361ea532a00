"""The demo: all stages in one run, with a report as one HTML file."""
