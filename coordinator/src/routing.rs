//! routing.yaml to routes.
