"""The operators' console: pages for people, rendered on the server, with the services of the API."""
