"""Every chart once, by theme: tables in, a plotly figure out."""
