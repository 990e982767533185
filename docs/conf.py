"""How the documentation is built: ``sphinx-build -W docs build/docs``."""

project = "jupyter-kube"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
autodoc_typehints = "none"  # the signature has them
autodoc_member_order = "bysource"
