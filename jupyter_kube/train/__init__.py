"""Fanning a cell out into a training job."""
