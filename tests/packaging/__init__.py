"""The wheel, in bare environments."""
