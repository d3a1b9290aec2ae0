"""Convolutions whose groups do not fill whole vectors."""
