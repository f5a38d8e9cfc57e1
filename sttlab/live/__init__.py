"""The running pipeline: audio in, text out, on threads of its own."""
