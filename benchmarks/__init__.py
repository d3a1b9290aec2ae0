"""Measures compiled models beside their peers, and reports what was measured."""
