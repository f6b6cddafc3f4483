"""The dashboard of a checkout: `streamlit run app.py`."""

from streamlit.starlette import App

from kvsim.app.main import main
from kvsim.app.warm import SCRIPT, lifespan

app = App(SCRIPT, lifespan=lifespan)

if __name__ == "__main__":  # run as a script, as streamlit.testing does
    main()
