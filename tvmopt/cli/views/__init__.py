"""What commands print: the tables and lines of a result, as parts for a console."""
