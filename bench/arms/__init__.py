"""What is measured side by side: one module per way to run a kernel."""
