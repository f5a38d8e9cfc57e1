"""The live server and its socket."""
