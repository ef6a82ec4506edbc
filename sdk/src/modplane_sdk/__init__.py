"""Write a module for Modplane. What to import is in the files: there are no re-exports."""
