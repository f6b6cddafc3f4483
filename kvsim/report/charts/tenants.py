"""Where the prompt tokens of each tenant came from."""

from html import escape

import pandas as pd
import plotly.graph_objects as go

from kvsim.report.charts.tokens import tokens_by_source


def tokens_by_source_per_tenant(table: pd.DataFrame) -> go.Figure:
    """Draw a bar a tenant, divided by source; `table` is `RunResult.tenants`."""
    rows = {
        f"{escape(row['tenant'])} ({row['token_hit_rate']:.0%} found)": {
            str(name): value for name, value in row.items()
        }
        for row in table.to_dict("records")
    }
    figure = tokens_by_source(rows)
    figure.update_layout(title_text="Where each tenant's prompt tokens come from")
    figure.update_yaxes(showticklabels=True)
    return figure
