"""The dashboard of an installed package, which `kvsim app` starts."""

from streamlit.starlette import App

from kvsim.app.warm import SCRIPT, lifespan

app = App(SCRIPT, lifespan=lifespan)
