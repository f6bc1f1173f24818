"""From evidence to paper: `facts` gathers, `factsheet` is the data, `figures` draws, `formats` write. Computes no explanation."""
