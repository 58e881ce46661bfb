//! Bead to order.
