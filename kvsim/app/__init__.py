"""The dashboard: widgets in, `Scenario.replace`, cached runs, charts of `kvsim.report` out.

Streamlit is used here and nowhere else. No price, formula or measured number lives here: inputs
start from a preset, and whatever is shown comes from a run, a plan or a spec.
"""
