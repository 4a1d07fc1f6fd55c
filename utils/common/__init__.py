"""What every room needs: errors, files, the command line, processes, pictures."""
