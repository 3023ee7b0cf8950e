"""HTTP and the process: routes, admission, pages, command line."""
