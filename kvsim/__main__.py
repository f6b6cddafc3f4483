"""Run the command line: python -m kvsim."""

from kvsim.cli import entry

if __name__ == "__main__":
    entry()
