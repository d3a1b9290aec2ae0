"""Operators written out in others: those that neither a template nor TVM's importer takes, or takes only in part."""
