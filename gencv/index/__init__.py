"""One searchable table of pictures: their vectors, captions, facts, and thumbnails, in Lance's versioned format."""
