"""One searchable table of pictures: their vectors, captions, facts, and thumbnails, in Lance's versioned format."""

import os

os.environ.setdefault("LANCE_LOG", "error")  # read when lance is imported; else each split list is warned of, in a line
