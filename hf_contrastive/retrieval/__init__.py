"""Texts to vectors on the disk, and the nearest of them to a query."""
