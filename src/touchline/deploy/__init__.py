"""The same jobs on another's scheduler: bundles written from the table of jobs, and checked offline."""
