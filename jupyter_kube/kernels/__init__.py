"""Jupyter kernels as pods: what the server runs, and what travels into the pod."""
