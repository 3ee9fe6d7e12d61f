"""The C part of `signal`: the same functions and numbers, without enumerations."""

from signal import *
