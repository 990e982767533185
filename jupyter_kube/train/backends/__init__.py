"""Ways to run a job on a cluster: each renders a request into manifests, as a pure function."""
