"""Networks quantised to INT8 by the quantisers of other projects, each network once."""
