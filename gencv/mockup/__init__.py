"""Products shown: cut out, printed onto things, and set into scenes that are painted around them."""
