"""Catalogs: folders of pictures with their vectors and metadata; adding, refreshing, filtering."""
