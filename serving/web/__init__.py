"""The page for a browser: a client of the other applications, with a tab for each thing that they do."""
