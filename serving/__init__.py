"""The endpoints: a thin skin of HTTP over `gencv.services`, deployed by Ray Serve."""
