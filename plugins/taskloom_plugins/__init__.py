"""The built-in tasks. They import only the public names of `taskloom`, like a package of anyone else."""
