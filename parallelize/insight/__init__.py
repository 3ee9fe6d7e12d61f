"""What shows the user how it goes; each part is loaded when it is asked for."""
