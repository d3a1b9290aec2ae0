"""What several stages use and that knows none of them."""
