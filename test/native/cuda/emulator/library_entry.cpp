// A module needs a source of its own; what it holds is the emulated library, whole.
