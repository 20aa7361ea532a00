"""What bench/faults.py does: commands as processes, killed and compared."""
