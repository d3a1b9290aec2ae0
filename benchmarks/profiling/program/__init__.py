"""The time of a user's whole program: reading, preparing and inferring, not only the network."""
