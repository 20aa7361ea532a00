"""The demonstration: all stages at once, and a report of it as one HTML file."""
