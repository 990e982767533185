"""The same promises on both clusters: what we rely on from the API, and what we promise on top."""
