"""Result files read again: compared, averaged over seeds, and set as tables."""
