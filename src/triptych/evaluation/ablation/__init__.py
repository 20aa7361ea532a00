"""What each part of the method brings: recipes of options, run over seeds on val queries, as table and picture."""
