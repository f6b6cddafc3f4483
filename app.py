"""The dashboard of a checkout: `streamlit run app.py`."""

from kvsim.app.main import main

if __name__ == "__main__":
    main()
