//! The only module that knows `bd` and `mb`.
