"""From collected pictures to a data set."""
