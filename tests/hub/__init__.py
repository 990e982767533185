"""The server inside the cluster: alone in a pod, and behind a JupyterHub."""
