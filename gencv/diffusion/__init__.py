"""Painting pictures: pipelines of diffusers behind one contract, and the starter painter."""
