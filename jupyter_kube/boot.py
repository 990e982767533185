"""What both kinds of pods begin with (pure)."""

MEMORY_FILE = """\
def memory_file(name):
    try:
        return os.memfd_create(name, 0)
    except AttributeError:  # this Python was built for an older libc, as conda's are; ours has it
        import ctypes
        return ctypes.CDLL(None).memfd_create(name.encode(), 0)
"""
"""Source of what makes a file without a name and a folder: it holds what is secret."""
