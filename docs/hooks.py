"""What the documentation needs beyond its pages: the notebooks, and plotly.js without a CDN."""

import os
import re
from pathlib import Path

import plotly
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PLOTLY_JS = "assets/plotly.min.js"
# Scripts of a notebook page that a browser would fetch: plotly.js and MathJax.
FETCHED = re.compile(
    r'<script\b[^>]*(?:\ssrc="https://[^>]*>|>\s*import "https://[^<]*)\s*</script>', re.DOTALL
)
NOTEBOOK = '<div class="jupyter-wrapper">'

# Kernels that the build starts find kvsim here, and draw charts as HTML.
os.environ["PLOTLY_RENDERER"] = "notebook_connected"
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


@event_priority(100)  # before mkdocs-jupyter looks for notebooks among the files
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks of experiments/, and the plotly.js that comes with plotly."""
    for path in sorted((ROOT / "experiments").glob("*.ipynb")):
        place = {"dest_dir": config.site_dir, "use_directory_urls": config.use_directory_urls}
        files.append(File(path.relative_to(ROOT).as_posix(), src_dir=str(ROOT), **place))
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    files.append(File.generated(config, PLOTLY_JS, abs_src_path=str(script)))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Let charts of notebooks use the site's own plotly.js, and nothing from elsewhere."""
    if NOTEBOOK not in output:
        return output
    own = f'<script src="../{PLOTLY_JS}"></script>'
    return FETCHED.sub("", output).replace(NOTEBOOK, own + NOTEBOOK, 1)
