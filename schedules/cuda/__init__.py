"""Rules for GPUs: TVM's DLight, until templates of our own beat it."""
