"""Tables to figures, figures to pages; figures read no file and know no browser."""
