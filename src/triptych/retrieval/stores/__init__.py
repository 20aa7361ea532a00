"""Where vectors are searched: in memory, or in a database that a shop already runs."""
