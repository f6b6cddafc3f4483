"""What a run leaves behind: raw rows, tables and one line of figures."""
